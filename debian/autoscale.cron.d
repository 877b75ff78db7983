# What the timers do, for machines that do not run systemd.
AS_WAIT=50
* * * * *  autoscale  [ -d /run/systemd/system ] || /usr/libexec/autoscale/pipelines/pass 2>&1 >/dev/null | logger -t autoscale
17 3 * * *  autoscale  [ -d /run/systemd/system ] || { as-audit --verify && as-store --older-than 90d prune; } 2>&1 >/dev/null | logger -t autoscale
