/* The copy rule as a table: a change to a plain container's inspect document, and what the copy's create request says.
 * Documents by hand; engine_test.c asks a real engine. */
#include "base/convention.h"
#include "engine/engine.h"
#include "tests/unit/tap.h"

#include <stdlib.h>

#include "base/banned.h"

#define ID "aaaabbbbccccdddd0000111122223333444455556666777788889999aaaabbbb"
#define IMAGE "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define ANON "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

enum { RECREATE = 1, ALLOWED = 2, ELSEWHERE = 4, MOVED = 8, ENTRYPOINT = 16, PODMAN = 32, UNKNOWN = 64 };

static const char plain[] =
	"{'Id':'" ID "','Name':'/web','Image':'" IMAGE "','Mounts':[],"
	"'Config':{'Hostname':'aaaabbbbcccc','Image':'webapp:1','Env':['PATH=/bin','E=','BARE'],'Cmd':['httpd'],"
	"'Entrypoint':null,'Labels':{'autoscale.service':'web'},'ExposedPorts':{'80/tcp':{}}},"
	"'HostConfig':{'NetworkMode':'n1','Binds':null,'PortBindings':{},'ContainerIDFile':'/x','ConsoleSize':[0,0],"
	"'Cgroup':'','KernelMemory':0,'Memory':67108864,'NanoCpus':500000000,'MemorySwappiness':10},"
	"'NetworkSettings':{'Networks':{'n1':{'IPAMConfig':null,'Links':null,'Aliases':['w','aaaabbbbcccc'],"
	"'NetworkID':'9999000011112222333344445555666677778888999900001111222233334444','EndpointID':'e',"
	"'Gateway':'10.91.0.1','IPAddress':'10.91.0.2','MacAddress':'02:42:0a:5b:00:02','DriverOpts':null}}}}";

/* Of the source's image, with ENTRYPOINT. */
static const char image[] =
	"{'Env':['PATH=/bin','A=img'],'Entrypoint':['/bin/sh','-c'],'Cmd':['httpd'],'ExposedPorts':{'80/tcp':{},'81/"
	"tcp':{}},"
	"'Volumes':{'/data':{}},'Labels':{'img':'1','autoscale.service':'web'},'User':'0','WorkingDir':'/www',"
	"'StopSignal':'SIGUSR1','Healthcheck':{'Test':['CMD','true'],'Interval':2000000000,'Retries':2}}";

#define FOLLOW "'Labels':{'autoscale.image':'follow','img':'1'}"

static const struct row {
	const char *name, *patch;
	int flags;
	const char *path, *want; /* JSON; NULL: not there; below "error" and "notes" a part of the text */
} rows[] = {
	/* kept as it is */
	{"memory is copied", "{}", 0, "create/HostConfig/Memory", "67108864"},
	{"cpu is copied", "{}", 0, "create/HostConfig/NanoCpus", "500000000"},
	{"the environment is copied in order, empty and unset variables too", "{}", 0, "create/Env",
     "['PATH=/bin','E=','BARE']"},
	{"the command is copied", "{}", 0, "create/Cmd", "['httpd']"},
	{"a field nobody has heard of is copied", "{'HostConfig':{'Newer':{'a':[1.0]}}}", 0, "create/HostConfig/Newer",
     "{'a':[1.0]}"},
	{"a disabled health check is copied", "{'Config':{'Healthcheck':{'Test':['NONE']}}}", 0, "create/Healthcheck",
     "{'Test':['NONE']}"},
	{"what the engine fills in is not sent back", "{}", 0, "create/HostConfig/ContainerIDFile", NULL},
	{"the console's size is not sent back", "{}", 0, "create/HostConfig/ConsoleSize", NULL},
	{"an unset kernel memory limit is not sent", "{}", 0, "create/HostConfig/KernelMemory", NULL},
	{"a kernel memory limit is", "{'HostConfig':{'KernelMemory':4}}", 0, "create/HostConfig/KernelMemory", "4"},
	{"unmasked paths stay unmasked", "{'HostConfig':{'MaskedPaths':[]}}", ELSEWHERE, "create/HostConfig/MaskedPaths",
     "[]"},
	{"masked paths are the same engine's", "{'HostConfig':{'MaskedPaths':['/a']}}", 0, "create/HostConfig/MaskedPaths",
     "['/a']"},
	{"another engine has its own masked paths", "{'HostConfig':{'MaskedPaths':['/a']}}", ELSEWHERE,
     "create/HostConfig/MaskedPaths", NULL},

	/* host name */
	{"a generated host name is not copied", "{}", 0, "create/Hostname", NULL},
	{"a chosen host name is", "{'Config':{'Hostname':'h1'}}", 0, "create/Hostname", "'h1'"},
	{"an inherited id as host name is not", "{'Config':{'Hostname':'0123456789ab'}}", 0, "create/Hostname", NULL},
	{"and a note says so", "{'Config':{'Hostname':'0123456789ab'}}", 0, "notes", "earlier container"},
	{"the host's name is not", "{'Config':{'Hostname':'vm7'},'HostConfig':{'NetworkMode':'host'}}", ALLOWED,
     "create/Hostname", NULL},
	{"nor that of a container whose network it shares",
     "{'Config':{'Hostname':'vm7'},'HostConfig':{'NetworkMode':'container:x'}}", 0, "create/Hostname", NULL},
	{"nor with the host's UTS namespace", "{'Config':{'Hostname':'vm7'},'HostConfig':{'UTSMode':'host'}}", 0,
     "create/Hostname", NULL},

	/* image and entrypoint */
	{"the image keeps its name while it means the same", "{}", 0, "create/Image", "'webapp:1'"},
	{"a moved tag is pinned to the source's image", "{}", MOVED, "create/Image", "'" IMAGE "'"},
	{"and a note says so", "{}", MOVED, "notes", "webapp:1 means another image"},
	{"an entrypoint that was taken away is not put back", "{}", ENTRYPOINT, "create/Entrypoint", "['']"},
	{"an image without entrypoint needs no word", "{}", 0, "create/Entrypoint", "null"},
	{"an entrypoint is copied", "{'Config':{'Entrypoint':['/bin/sh']}}", ENTRYPOINT, "create/Entrypoint",
     "['/bin/sh']"},
	{"an image that nobody knows any more may have had one", "{}", UNKNOWN, "create/Entrypoint", "['']"},

	/* a tag that moved, followed */
	{"followed, a tag stays a name", "{'Config':{" FOLLOW "}}", MOVED | ENTRYPOINT, "create/Image", "'webapp:1'"},
	{"the image that it means is the one to be made from", "{'Config':{" FOLLOW "}}", MOVED | ENTRYPOINT, "image_id",
     "'sha256:22'"},
	{"and a note says so", "{'Config':{" FOLLOW "}}", MOVED | ENTRYPOINT, "notes", "the copy follows it"},
	{"followed, a tag that did not move changes nothing", "{'Config':{" FOLLOW ",'Env':['PATH=/bin']}}", ENTRYPOINT,
     "create/Env", "['PATH=/bin']"},
	{"followed, a tag that is gone leaves the source's image", "{'Config':{" FOLLOW ",'Image':'gone:1'}}",
     MOVED | ENTRYPOINT | PODMAN, "create/Image", "'gone:1'"},
	{"what the old image gave must be known", "{'Config':{" FOLLOW "}}", MOVED | UNKNOWN, "error",
     "what the old image gave is not known"},
	{"a word that autoscale.image has not is pin", "{'Config':{'Labels':{'autoscale.image':'newest'}}}", MOVED,
     "create/Image", "'" IMAGE "'"},
	{"and a note says so", "{'Config':{'Labels':{'autoscale.image':'newest'}}}", MOVED, "notes",
     "autoscale.image is neither pin nor follow"},
	{"a recreation follows nothing", "{'Config':{" FOLLOW "}}", MOVED | ENTRYPOINT | RECREATE, "create/Image",
     "'" IMAGE "'"},
	{"followed, the old image's variables go, but one with another value, and one that is unset",
     "{'Config':{" FOLLOW ",'Env':['A=mine','PATH=/bin','D=4','A']}}", MOVED | ENTRYPOINT, "create/Env",
     "['A=mine','D=4','A']"},
	{"its labels go too", "{'Config':{" FOLLOW "}}", MOVED | ENTRYPOINT, "create/Labels/img", NULL},
	{"but one with another value", "{'Config':{'Labels':{'autoscale.image':'follow','img':'2'}}}", MOVED | ENTRYPOINT,
     "create/Labels/img", "'2'"},
	{"the service that its label named is kept", "{'Config':{" FOLLOW "}}", MOVED | ENTRYPOINT,
     "create/Labels/autoscale.service", "'web'"},
	{"its ports go, but one that is bound",
     "{'Config':{" FOLLOW ",'ExposedPorts':{'80/tcp':{},'81/tcp':{},'82/tcp':{}}},"
     "'HostConfig':{'PortBindings':{'81/tcp':[{'HostPort':''}]}}}",
     MOVED | ENTRYPOINT, "create/ExposedPorts", "{'82/tcp':{},'81/tcp':{}}"},
	{"its volumes go", "{'Config':{" FOLLOW ",'Volumes':{'/data':{},'/x':{}}}}", MOVED | ENTRYPOINT, "create/Volumes",
     "{'/x':{}}"},
	{"its user goes", "{'Config':{" FOLLOW ",'User':'0'}}", MOVED | ENTRYPOINT, "create/User", NULL},
	{"a chosen user stays", "{'Config':{" FOLLOW ",'User':'7'}}", MOVED | ENTRYPOINT, "create/User", "'7'"},
	{"its folder goes", "{'Config':{" FOLLOW ",'WorkingDir':'/www'}}", MOVED | ENTRYPOINT, "create/WorkingDir", NULL},
	{"its stop signal goes", "{'Config':{" FOLLOW ",'StopSignal':'SIGUSR1'}}", MOVED | ENTRYPOINT, "create/StopSignal",
     NULL},
	{"its health check goes",
     "{'Config':{" FOLLOW ",'Healthcheck':{'Test':['CMD','true'],'Interval':2000000000,'Retries':2}}}",
     MOVED | ENTRYPOINT, "create/Healthcheck", NULL},
	{"of a health check that was changed in part the rest goes",
     "{'Config':{" FOLLOW ",'Healthcheck':{'Test':['CMD','true'],'Interval':5,'Retries':2}}}", MOVED | ENTRYPOINT,
     "create/Healthcheck", "{'Interval':5}"},
	{"one that was switched off stays off", "{'Config':{" FOLLOW ",'Healthcheck':{'Test':['NONE']}}}",
     MOVED | ENTRYPOINT, "create/Healthcheck", "{'Test':['NONE']}"},
	{"its command goes with its entry point", "{'Config':{" FOLLOW ",'Entrypoint':['/bin/sh','-c']}}",
     MOVED | ENTRYPOINT, "create/Cmd", NULL},
	{"and its entry point", "{'Config':{" FOLLOW ",'Entrypoint':['/bin/sh','-c']}}", MOVED | ENTRYPOINT,
     "create/Entrypoint", NULL},
	{"another command stays", "{'Config':{" FOLLOW ",'Entrypoint':['/bin/sh','-c'],'Cmd':['x']}}", MOVED | ENTRYPOINT,
     "create/Cmd", "['x']"},
	{"and its entry point goes", "{'Config':{" FOLLOW ",'Entrypoint':['/bin/sh','-c'],'Cmd':['x']}}",
     MOVED | ENTRYPOINT, "create/Entrypoint", NULL},
	{"another entry point stays", "{'Config':{" FOLLOW ",'Entrypoint':['/bin/x']}}", MOVED | ENTRYPOINT,
     "create/Entrypoint", "['/bin/x']"},
	{"and its command, though the image has the same", "{'Config':{" FOLLOW ",'Entrypoint':['/bin/x']}}",
     MOVED | ENTRYPOINT, "create/Cmd", "['httpd']"},
	{"an entry point that was given to be rid of the command stays",
     "{'Config':{" FOLLOW ",'Entrypoint':['/bin/sh','-c'],'Cmd':null}}", MOVED | ENTRYPOINT, "create/Entrypoint",
     "['/bin/sh','-c']"},
	{"one that was taken away stays away", "{'Config':{" FOLLOW "}}", MOVED | ENTRYPOINT, "create/Entrypoint", "['']"},
	{"with its command", "{'Config':{" FOLLOW "}}", MOVED | ENTRYPOINT, "create/Cmd", "['httpd']"},
	{"without entry points its command goes", "{'Config':{" FOLLOW ",'Cmd':['x']}}", MOVED, "create/Cmd", "['x']"},

	/* labels */
	{"labels are copied", "{'Config':{'Labels':{'own':'1'}}}", 0, "create/Labels/own", "'1'"},
	{"a copy names its original", "{}", 0, "create/Labels/autoscale.copy-of", "'" ID "'"},
	{"its index", "{}", 0, "create/Labels/autoscale.index", "'3'"},
	{"and its operation", "{}", 0, "create/Labels/autoscale.op", "'op-7'"},
	{"a copy of a copy has its own index", "{'Config':{'Labels':{'autoscale.index':'2','autoscale.op':'old'}}}", 0,
     "create/Labels/autoscale.index", "'3'"},
	{"and operation", "{'Config':{'Labels':{'autoscale.index':'2','autoscale.op':'old'}}}", 0,
     "create/Labels/autoscale.op", "'op-7'"},
	{"compose's labels are not copied", "{'Config':{'Labels':{'com.docker.compose.project':'p'}}}", 0,
     "create/Labels/com.docker.compose.project", NULL},
	{"the service they named is kept",
     "{'Config':{'Labels':{'autoscale.service':null,'com.docker.compose.service':'shop'}}}", 0,
     "create/Labels/autoscale.service", "'shop'"},
	{"a service by a variable needs no label",
     "{'Config':{'Labels':{'autoscale.service':null},'Env':['AUTOSCALE_SERVICE=web']}}", 0,
     "create/Labels/autoscale.service", "null"},
	{"a service that only its name tells becomes a label",
     "{'Config':{'Labels':{'autoscale.service':null,'traefik.enable':'true'}}}", 0, "create/Labels/autoscale.service",
     "'web'"},
	{"but not one that somebody else says", "{'Name':'/other','Config':{'Labels':{'autoscale.service':null}}}", 0,
     "create/Labels/autoscale.service", "null"},
	{"and another tool's labels are copied", "{'Config':{'Labels':{'autoscale.service':null,'traefik.enable':'true'}}}",
     0, "create/Labels/traefik.enable", "'true'"},
	{"and its variables", "{'Config':{'Env':['VIRTUAL_HOST=a.example']}}", 0, "create/Env",
     "['VIRTUAL_HOST=a.example']"},
	{"one that is made again gets none", "{'Config':{'Labels':{'autoscale.service':null}}}", RECREATE,
     "create/Labels/autoscale.service", "null"},
	{"kept when the label says so",
     "{'Config':{'Labels':{'com.docker.compose.project':'p','autoscale.compose':'keep'}}}", 0,
     "create/Labels/com.docker.compose.project", "'p'"},
	{"and a note says what that means",
     "{'Config':{'Labels':{'com.docker.compose.project':'p','autoscale.compose':'keep'}}}", 0, "notes",
     "the next docker compose up removes the copy"},
	{"left behind, a note says what compose does then", "{'Config':{'Labels':{'com.docker.compose.project':'p'}}}", 0,
     "notes", "down leaves it, and its networks"},
	{"a recreated container is no copy", "{}", RECREATE, "create/Labels/autoscale.copy-of", NULL},
	{"it keeps compose's labels", "{'Config':{'Labels':{'com.docker.compose.project':'p'}}}", RECREATE,
     "create/Labels/com.docker.compose.project", "'p'"},
	{"no labels at all become ours", "{'Config':{'Labels':null}}", 0, "create/Labels/autoscale.op", "'op-7'"},
	{"a swarm task is refused", "{'Config':{'Labels':{'com.docker.swarm.service.id':'x'}}}", 0, "error",
     "scale the service"},
	{"a Kubernetes pod's container is refused", "{'Config':{'Labels':{'io.kubernetes.pod.name':'x'}}}", 0, "error",
     "Kubernetes"},
	{"a Nomad job's is refused", "{'Config':{'Labels':{'com.hashicorp.nomad.alloc_id':'x'}}}", 0, "error", "Nomad"},

	/* ports */
	{"a port the engine picks is copied", "{'HostConfig':{'PortBindings':{'80/tcp':[{'HostIp':'','HostPort':''}]}}}", 0,
     "create/HostConfig/PortBindings/80~tcp/0/HostPort", "''"},
	{"a port range is copied", "{'HostConfig':{'PortBindings':{'80/tcp':[{'HostPort':'28100-28110'}]}}}", 0,
     "create/HostConfig/PortBindings/80~tcp/0/HostPort", "'28100-28110'"},
	{"a bound port is exposed", "{'HostConfig':{'PortBindings':{'99/udp':[{'HostPort':''}]}}}", 0,
     "create/ExposedPorts/99~udp", "{}"},
	{"a fixed port is refused", "{'HostConfig':{'PortBindings':{'80/tcp':[{'HostPort':'28080'}]}}}", 0, "error",
     "host port 28080 can be had once"},
	{"a range of one port too", "{'HostConfig':{'PortBindings':{'80/tcp':[{'HostPort':'28080-28080'}]}}}", 0, "error",
     "can be had once"},
	{"unless autoscale.ports is auto",
     "{'Config':{'Labels':{'autoscale.ports':'auto'}},'HostConfig':{'PortBindings':{'80/tcp':[{'HostPort':'28080'}]}}}",
     0, "create/HostConfig/PortBindings/80~tcp/0/HostPort", "''"},
	{"or none",
     "{'Config':{'Labels':{'autoscale.ports':'none'}},'HostConfig':{'PortBindings':{'80/tcp':[{'HostPort':'28080'},"
     "{'HostPort':'28081'}]}}}",
     0, "create/HostConfig/PortBindings", "{}"},
	{"none leaves the ports that the engine picks",
     "{'Config':{'Labels':{'autoscale.ports':'none'}},'HostConfig':{'PortBindings':{'80/tcp':[{'HostPort':'28080'},"
     "{'HostPort':''}]}}}",
     0, "create/HostConfig/PortBindings/80~tcp", "[{'HostPort':''}]"},
	{"or same",
     "{'Config':{'Labels':{'autoscale.ports':'same'}},'HostConfig':{'PortBindings':{'80/tcp':[{'HostPort':'28080'}]}}}",
     0, "create/HostConfig/PortBindings/80~tcp/0/HostPort", "'28080'"},
	{"a word that autoscale.ports has not is a no",
     "{'Config':{'Labels':{'autoscale.ports':'yes'}},'HostConfig':{'PortBindings':{'80/tcp':[{'HostPort':'28080'}]}}}",
     0, "error", "can be had once"},
	{"the variable AUTOSCALE_PORTS says it too",
     "{'Config':{'Env':['AUTOSCALE_PORTS=auto']},'HostConfig':{'PortBindings':{'80/tcp':[{'HostPort':'28080'}]}}}", 0,
     "create/HostConfig/PortBindings/80~tcp/0/HostPort", "''"},
	{"a recreated container gets its port back", "{'HostConfig':{'PortBindings':{'80/tcp':[{'HostPort':'28080'}]}}}",
     RECREATE, "create/HostConfig/PortBindings/80~tcp/0/HostPort", "'28080'"},
	{"nothing is exposed in another container's network", "{'HostConfig':{'NetworkMode':'container:x'}}", 0,
     "create/ExposedPorts", NULL},

	/* addresses */
	{"a MAC address is not copied", "{'Config':{'MacAddress':'02:42:ac:11:99:99'}}", 0, "create/MacAddress", NULL},
	{"and a note says so", "{'Config':{'MacAddress':'02:42:ac:11:99:99'}}", 0, "notes", "02:42:ac:11:99:99"},
	{"a recreated container keeps it", "{'Config':{'MacAddress':'02:42:ac:11:99:99'}}", RECREATE, "create/MacAddress",
     "'02:42:ac:11:99:99'"},
	{"a copy keeps it when the label says so",
     "{'Config':{'MacAddress':'02:42:ac:11:99:99','Labels':{'autoscale.address':'keep'}}}", 0, "create/MacAddress",
     "'02:42:ac:11:99:99'"},
	{"but none that the engine made",
     "{'Config':{'MacAddress':'02:42:0a:5b:00:02','Labels':{'autoscale.address':'keep'}}}", 0, "create/MacAddress",
     NULL},
	{"nor that of an endpoint", "{'Config':{'Env':['AUTOSCALE_ADDRESS=keep']}}", 0,
     "create/NetworkingConfig/EndpointsConfig/n1/MacAddress", NULL},
	{"an endpoint's chosen one too",
     "{'Config':{'Env':['AUTOSCALE_ADDRESS=keep']},"
     "'NetworkSettings':{'Networks':{'n1':{'MacAddress':'02:42:ac:11:99:99'}}}}",
     0, "create/NetworkingConfig/EndpointsConfig/n1/MacAddress", "'02:42:ac:11:99:99'"},
	{"and a fixed IP address",
     "{'Config':{'Labels':{'autoscale.address':'keep'}},"
     "'NetworkSettings':{'Networks':{'n1':{'IPAMConfig':{'IPv4Address':'10.91.0.50'}}}}}",
     0, "create/NetworkingConfig/EndpointsConfig/n1/IPAMConfig", "{'IPv4Address':'10.91.0.50'}"},
	{"unless the engine had made it", "{'Config':{'MacAddress':'02:42:0a:5b:00:02'}}", RECREATE, "create/MacAddress",
     NULL},

	/* rights */
	{"a privileged container is refused", "{'HostConfig':{'Privileged':true}}", 0, "error", "privileged = allow"},
	{"with leave it is copied", "{'HostConfig':{'Privileged':true}}", ALLOWED, "create/HostConfig/Privileged", "true"},
	{"the host's processes are refused", "{'HostConfig':{'PidMode':'host'}}", 0, "error", "PidMode: host"},
	{"the host's shared memory is refused", "{'HostConfig':{'IpcMode':'host'}}", 0, "error", "IpcMode: host"},
	{"the host's users are refused", "{'HostConfig':{'UsernsMode':'host'}}", 0, "error", "UsernsMode: host"},
	{"the host's network is refused", "{'HostConfig':{'NetworkMode':'host'}}", 0, "error", "NetworkMode: host"},
	{"an added capability is refused", "{'HostConfig':{'CapAdd':['CHOWN','NET_ADMIN']}}", 0, "error", "NET_ADMIN"},
	{"one that each container has is none", "{'HostConfig':{'CapAdd':['CAP_CHOWN','KILL']}}", 0,
     "create/HostConfig/CapAdd", "['CAP_CHOWN','KILL']"},
	{"a device is refused", "{'HostConfig':{'Devices':[{'PathOnHost':'/dev/x'}]}}", 0, "error", "devices"},
	{"a device rule is refused", "{'HostConfig':{'DeviceCgroupRules':['c *:* rwm']}}", 0, "error", "devices"},
	{"the engine's socket is refused", "{'Mounts':[{'Type':'bind','Source':'/var/run/docker.sock','RW':true}]}", 0,
     "error", "the engine's socket (/var/run/docker.sock)"},
	{"a folder that holds it is refused", "{'Mounts':[{'Type':'bind','Source':'/run','RW':false}]}", 0, "error",
     "the engine's socket (/run)"},
	{"a folder of a like name is not", "{'Mounts':[{'Type':'bind','Source':'/running','RW':false}]}", 0,
     "create/HostConfig/Memory", "67108864"},

	/* volumes */
	{"a named volume is shared", "{'HostConfig':{'Binds':['v1:/v:z,ro','v2:/w']}}", 0, "create/HostConfig/Binds",
     "['v1:/v:z,ro','v2:/w']"},
	{"and a note says so", "{'HostConfig':{'Binds':['v2:/w']}}", 0, "notes", "volume v2 is shared"},
	{"a read-only one needs no note", "{'HostConfig':{'Binds':['v1:/v:z,ro']}}", 0, "notes/0", NULL},
	{"a volume named rose is written to", "{'HostConfig':{'Binds':['v1:/v:rose']}}", 0, "notes", "volume v1 is shared"},
	{"a host path is shared", "{'HostConfig':{'Binds':['/srv:/v']}}", 0, "notes", "host path /srv is shared"},
	{"so is one of --mount", "{'HostConfig':{'Mounts':[{'Type':'volume','Source':'v3','Target':'/v'}]}}", 0, "notes",
     "volume v3 is shared"},
	{"an anonymous volume that was attached again is fresh in a copy", "{'HostConfig':{'Binds':['" ANON ":/data:ro']}}",
     0, "create/Volumes", "{'/data':{}}"},
	{"and not bound", "{'HostConfig':{'Binds':['" ANON ":/data','v1:/v:ro']}}", 0, "create/HostConfig/Binds",
     "['v1:/v:ro']"},
	{"also when it came by --mount", "{'HostConfig':{'Mounts':[{'Type':'volume','Source':'" ANON "','Target':'/m'}]}}",
     0, "create/HostConfig/Mounts", "[{'Type':'volume','Target':'/m'}]"},
	{"a recreated container gets its anonymous volumes back",
     "{'Config':{'Volumes':{'/data':{},'/v':{}}},'HostConfig':{'Binds':['v1:/v']},'Mounts':["
     "{'Type':'volume','Name':'" ANON "','Destination':'/data','RW':true},"
     "{'Type':'volume','Name':'v1','Destination':'/v','RW':true}]}",
     RECREATE, "create/HostConfig/Binds", "['v1:/v','" ANON ":/data']"},
	{"also those of --mount",
     "{'HostConfig':{'Mounts':[{'Type':'volume','Target':'/m'}]},'Mounts':[{'Type':'volume','Name':'" ANON
     "','Destination':'/m','RW':true}]}",
     RECREATE, "create/HostConfig/Mounts", "[{'Type':'volume','Target':'/m','Source':'" ANON "'}]"},

	/* networks */
	{"the network is copied by name, with the aliases but the source's id", "{}", 0, "create/NetworkingConfig",
     "{'EndpointsConfig':{'n1':{'Aliases':['w']}}}"},
	{"an alias that is the source's name is not copied",
     "{'NetworkSettings':{'Networks':{'n1':{'Aliases':['web','w']}}}}", 0,
     "create/NetworkingConfig/EndpointsConfig/n1/Aliases", "['w']"},
	{"links and driver options are copied",
     "{'NetworkSettings':{'Networks':{'n1':{'Links':['peer:db'],'DriverOpts':{'a':'b'}}}}}", 0,
     "create/NetworkingConfig/EndpointsConfig/n1", "{'Aliases':['w'],'Links':['peer:db'],'DriverOpts':{'a':'b'}}"},
	{"a fixed address is not copied",
     "{'NetworkSettings':{'Networks':{'n1':{'IPAMConfig':{'IPv4Address':'10.91.0.50'}}}}}", 0,
     "create/NetworkingConfig/EndpointsConfig/n1", "{'Aliases':['w']}"},
	{"and a note says so", "{'NetworkSettings':{'Networks':{'n1':{'IPAMConfig':{'IPv4Address':'10.91.0.50'}}}}}", 0,
     "notes", "10.91.0.50"},
	{"an IPv6 address too", "{'NetworkSettings':{'Networks':{'n1':{'IPAMConfig':{'IPv6Address':'fd00::9'}}}}}", 0,
     "notes", "fixed address fd00::9"},
	{"and a link-local one", "{'NetworkSettings':{'Networks':{'n1':{'IPAMConfig':{'LinkLocalIPs':['169.254.3.3']}}}}}",
     0, "notes", "fixed address 169.254.3.3"},
	{"a recreated container keeps it",
     "{'NetworkSettings':{'Networks':{'n1':{'IPAMConfig':{'IPv4Address':'10.91.0.50'}}}}}", RECREATE,
     "create/NetworkingConfig/EndpointsConfig/n1/IPAMConfig", "{'IPv4Address':'10.91.0.50'}"},
	{"a second network is connected before the start",
     "{'NetworkSettings':{'Networks':{'n2':{'NetworkID':'8888','Aliases':['m2','aaaabbbbcccc']}}}}", 0, "connect",
     "[{'network':'n2','endpoint':{'Aliases':['m2']}}]"},
	{"with one endpoint at create", "{'NetworkSettings':{'Networks':{'n2':{'NetworkID':'8888'}}}}", 0,
     "create/NetworkingConfig", "{'EndpointsConfig':{'n1':{'Aliases':['w']}}}"},
	{"a network given by id is called by its name", "{'HostConfig':{'NetworkMode':'999900001111'}}", 0,
     "create/HostConfig/NetworkMode", "'n1'"},
	{"though the engine lists it twice",
     "{'HostConfig':{'NetworkMode':'999900001111'},'NetworkSettings':{'Networks':{'999900001111':{'NetworkID':"
     "'9999000011112222333344445555666677778888999900001111222233334444'}}}}",
     0, "create/HostConfig/NetworkMode", "'n1'"},
	{"and is connected once",
     "{'HostConfig':{'NetworkMode':'999900001111'},'NetworkSettings':{'Networks':{'999900001111':{'NetworkID':"
     "'9999000011112222333344445555666677778888999900001111222233334444'}}}}",
     0, "connect", "[]"},
	{"a container that left the default network starts in the one it has", "{'HostConfig':{'NetworkMode':'default'}}",
     0, "create/HostConfig/NetworkMode", "'n1'"},
	{"one on the default network says nothing of it",
     "{'HostConfig':{'NetworkMode':'default'},'NetworkSettings':{'Networks':{'bridge':{'Aliases':null},'n1':null}}}", 0,
     "create/HostConfig/NetworkMode", "'default'"},
	{"one that left its only network leaves it too", "{'NetworkSettings':null}", 0, "connect", "[]"},
	{"the network of another container stays", "{'HostConfig':{'NetworkMode':'container:x'}}", 0,
     "create/HostConfig/NetworkMode", "'container:x'"},
	{"and nothing is connected", "{'HostConfig':{'NetworkMode':'container:x'}}", 0, "create/NetworkingConfig", NULL},

	/* another host */
	{"a host path binds to its host", "{'Mounts':[{'Type':'bind','Source':'/srv'}]}", ELSEWHERE, "error",
     "/srv is on its host only"},
	{"a named volume too", "{'Mounts':[{'Type':'volume','Name':'v1'}]}", ELSEWHERE, "error", "v1 is on its host only"},
	{"an anonymous one does not", "{'Mounts':[{'Type':'volume','Name':'" ANON "'}]}", ELSEWHERE,
     "create/HostConfig/Memory", "67108864"},
	{"a host path that is on both does not",
     "{'Mounts':[{'Type':'bind','Source':'/srv'}],'Config':{'Labels':{'autoscale.portable':'path'}}}", ELSEWHERE,
     "create/HostConfig/Memory", "67108864"},
	{"nor does a volume, in a list of both",
     "{'Mounts':[{'Type':'volume','Name':'v1'}],'Config':{'Labels':{'autoscale.portable':'path, volume'}}}", ELSEWHERE,
     "create/HostConfig/Memory", "67108864"},
	{"a portable path is no portable volume",
     "{'Mounts':[{'Type':'volume','Name':'v1'}],'Config':{'Labels':{'autoscale.portable':'paths,path'}}}", ELSEWHERE,
     "error", "v1 is on its host only"},
	{"a link does", "{'HostConfig':{'Links':['/a:/web/b']}}", ELSEWHERE, "error", "Links is on its host only"},
	{"volumes of another container do", "{'HostConfig':{'VolumesFrom':['x']}}", ELSEWHERE, "error", "VolumesFrom"},
	{"another container's network does", "{'HostConfig':{'NetworkMode':'container:x'}}", ELSEWHERE, "error",
     "NetworkMode"},

	/* a recreated container, beyond what is said above */
	{"recreated: privileges need leave too", "{'HostConfig':{'Privileged':true}}", RECREATE, "error",
     "privileged = allow"},
	{"recreated: a capability too", "{'HostConfig':{'CapAdd':['ALL']}}", RECREATE, "error", "capability ALL"},
	{"recreated: a device too", "{'HostConfig':{'Devices':[{'PathOnHost':'/dev/x'}]}}", RECREATE, "error", "devices"},
	{"recreated: a device rule too", "{'HostConfig':{'DeviceCgroupRules':['c *:* rwm']}}", RECREATE, "error",
     "devices"},
	{"recreated: the host's processes too", "{'HostConfig':{'PidMode':'host'}}", RECREATE, "error", "PidMode"},
	{"recreated: its shared memory too", "{'HostConfig':{'IpcMode':'host'}}", RECREATE, "error", "IpcMode"},
	{"recreated: its users too", "{'HostConfig':{'UsernsMode':'host'}}", RECREATE, "error", "UsernsMode"},
	{"recreated: its network too", "{'HostConfig':{'NetworkMode':'host'}}", RECREATE, "error", "NetworkMode"},
	{"recreated: the engine's socket too", "{'Mounts':[{'Type':'bind','Source':'/x/podman.sock'}]}", RECREATE, "error",
     "socket"},
	{"recreated: a swarm task is swarm's to recreate", "{'Config':{'Labels':{'com.docker.swarm.task.id':'x'}}}",
     RECREATE, "error", "scale the service"},
	{"recreated: a generated host name is made anew", "{}", RECREATE, "create/Hostname", NULL},
	{"recreated: a moved tag is pinned", "{}", RECREATE | MOVED, "create/Image", "'" IMAGE "'"},
	{"recreated: no entrypoint is said without asking the image", "{}", RECREATE | UNKNOWN, "create/Entrypoint",
     "['']"},
	{"recreated: it has its operation", "{}", RECREATE, "create/Labels/autoscale.op", "'op-7'"},
	{"recreated: its index stays", "{'Config':{'Labels':{'autoscale.index':'2'}}}", RECREATE,
     "create/Labels/autoscale.index", "'2'"},
	{"recreated: a bound port is exposed", "{'HostConfig':{'PortBindings':{'99/udp':[{'HostPort':'99'}]}}}", RECREATE,
     "create/ExposedPorts/99~udp", "{}"},
	{"recreated: what the engine fills in stays out", "{}", RECREATE, "create/HostConfig",
     "{'NetworkMode':'n1','Binds':null,'PortBindings':{},'Memory':67108864,'NanoCpus':500000000,'MemorySwappiness':"
     "10}"},
	{"recreated: no kernel memory", "{'HostConfig':{'KernelMemoryTCP':0}}", RECREATE,
     "create/HostConfig/KernelMemoryTCP", NULL},
	{"recreated: on another engine, its masked paths", "{'HostConfig':{'MaskedPaths':['/a']}}", RECREATE | ELSEWHERE,
     "create/HostConfig/MaskedPaths", NULL},
	{"recreated: and its read-only paths", "{'HostConfig':{'ReadonlyPaths':['/a']}}", RECREATE | ELSEWHERE,
     "create/HostConfig/ReadonlyPaths", NULL},
	{"recreated: a read-only volume stays so",
     "{'Config':{'Volumes':{'/data':{}}},'Mounts':[{'Type':'volume','Name':'" ANON
     "','Destination':'/data','RW':false}]}",
     RECREATE, "create/HostConfig/Binds", "['" ANON ":/data:ro']"},
	{"recreated: a generated MAC address is not pinned", "{}", RECREATE, "create/NetworkingConfig/EndpointsConfig/n1",
     "{'Aliases':['w']}"},
	{"recreated: a chosen one is", "{'NetworkSettings':{'Networks':{'n1':{'MacAddress':'02:42:ac:11:99:99'}}}}",
     RECREATE, "create/NetworkingConfig/EndpointsConfig/n1/MacAddress", "'02:42:ac:11:99:99'"},
	{"another engine has its own read-only paths", "{'HostConfig':{'ReadonlyPaths':['/a']}}", ELSEWHERE,
     "create/HostConfig/ReadonlyPaths", NULL},
	{"the engine's cgroup is not sent back", "{}", 0, "create/HostConfig/Cgroup", NULL},
	{"nor an unset limit of kernel buffers", "{'HostConfig':{'KernelMemoryTCP':0}}", 0,
     "create/HostConfig/KernelMemoryTCP", NULL},
	{"in the host's network no port is published, so none is in the way",
     "{'HostConfig':{'NetworkMode':'host','PortBindings':{'80/tcp':[{'HostPort':'28080'}]}}}", ALLOWED,
     "create/HostConfig/PortBindings/80~tcp/0/HostPort", "'28080'"},
	{"of several networks the one that the id means is the first",
     "{'HostConfig':{'NetworkMode':'999900001111'},'NetworkSettings':{'Networks':{'n1':null,'a2':{'NetworkID':'8888'},"
     "'n3':{'NetworkID':'9999000011112222333344445555666677778888999900001111222233334444'}}}}",
     0, "create/HostConfig/NetworkMode", "'n3'"},

	/* what Podman says otherwise */
	{"Podman: of a limit that it says twice one is sent", "{'HostConfig':{'CpuPeriod':100000,'CpuQuota':50000}}",
     PODMAN, "create/HostConfig/CpuQuota", NULL},
	{"Podman: and not its period", "{'HostConfig':{'CpuPeriod':100000,'CpuQuota':50000}}", PODMAN,
     "create/HostConfig/CpuPeriod", NULL},
	{"Podman: a quota alone stays", "{'HostConfig':{'NanoCpus':0,'CpuQuota':50000}}", PODMAN,
     "create/HostConfig/CpuQuota", "50000"},
	{"Docker's own quota stays", "{'HostConfig':{'CpuQuota':50000}}", 0, "create/HostConfig/CpuQuota", "50000"},
	{"Podman: limits have Docker's names",
     "{'HostConfig':{'Ulimits':[{'Name':'RLIMIT_NOFILE','Soft':1},{'Name':'core'}]}}", PODMAN,
     "create/HostConfig/Ulimits", "[{'Name':'nofile','Soft':1},{'Name':'core'}]"},
	{"Podman: no swappiness is not sent", "{'HostConfig':{'MemorySwappiness':-1}}", PODMAN,
     "create/HostConfig/MemorySwappiness", NULL},
	{"Podman: nor is 0", "{'HostConfig':{'MemorySwappiness':0}}", PODMAN, "create/HostConfig/MemorySwappiness", NULL},
	{"Docker's 0 is one", "{'HostConfig':{'MemorySwappiness':0}}", 0, "create/HostConfig/MemorySwappiness", "0"},
	{"Podman: a chosen one is sent", "{}", PODMAN, "create/HostConfig/MemorySwappiness", "10"},
	{"Podman: its name for the usual runtime is not sent", "{'HostConfig':{'Runtime':'oci'}}", PODMAN,
     "create/HostConfig/Runtime", NULL},
	{"Podman: a chosen runtime is", "{'HostConfig':{'Runtime':'crun'}}", PODMAN, "create/HostConfig/Runtime", "'crun'"},
	{"Podman: variables that it puts in itself are not sent",
     "{'Config':{'Hostname':'h1','Env':['container=podman','TERM=xterm','A=1','HOSTNAME=h1','TERM=vt100']}}", PODMAN,
     "create/Env", "['A=1','TERM=vt100']"},
	{"Docker's are", "{'Config':{'Env':['container=podman','TERM=xterm']}}", 0, "create/Env",
     "['container=podman','TERM=xterm']"},
	{"Podman: a port without bindings has none", "{'HostConfig':{'PortBindings':{'80/tcp':null,'81/tcp':[]}}}", PODMAN,
     "create/HostConfig/PortBindings", "{'81/tcp':[]}"},
	{"Podman: no bindings at all are not sent", "{'HostConfig':{'PortBindings':null}}", PODMAN,
     "create/HostConfig/PortBindings", NULL},
	{"Podman: what it calls bridge is the network that it is in", "{'HostConfig':{'NetworkMode':'bridge'}}", PODMAN,
     "create/HostConfig/NetworkMode", "'n1'"},
	{"Podman: recreated too", "{'HostConfig':{'Runtime':'oci','Ulimits':[{'Name':'RLIMIT_CORE'}]}}", PODMAN | RECREATE,
     "create/HostConfig/Ulimits", "[{'Name':'core'}]"},
	{"Podman: the network of a user who is not root stays", "{'HostConfig':{'NetworkMode':'slirp4netns'}}", PODMAN,
     "create/HostConfig/NetworkMode", "'slirp4netns'"},

	/* not a document */
	{"a document without an id is no container", "{'Id':null}", 0, "error", "no Id"},
	{"nor is one without a configuration", "{'Config':null}", 0, "error", "Config"},
};

/* JSON with ' for ", so that the table can be read. */
static json_t *json(const char *text)
{
	json_error_t why;
	char *copy = strdup(text);

	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	json_t *v = json_loads(copy, JSON_DECODE_ANY, &why);
	if (!v) {
		printf("Bail out! %s in %s\n", why.text, text);
		exit(1);
	}
	free(copy);
	return v;
}

/* "a/b/0"; ~ stands for a slash within a name. */
static json_t *walk(json_t *v, const char *path)
{
	char name[128];

	while (v && *path) {
		const size_t n = strcspn(path, "/");
		(void)snprintf(name, sizeof name, "%.*s", (int)n, path);
		for (char *p = name; *p; p++)
			*p = *p == '~' ? '/' : *p;
		v = json_is_array(v) ? json_array_get(v, strtoul(name, NULL, 10)) : json_object_get(v, name);
		path += n + (path[n] == '/');
	}
	return v;
}

static bool has_text(const json_t *array, const char *part)
{
	for (size_t i = 0; i < json_array_size(array); i++)
		if (strstr(json_string_value(json_array_get(array, i)), part))
			return true;
	return false;
}

static bool check(const struct row *row, json_t *got, bool made, const struct err *err)
{
	if (strcmp(row->path, "error") == 0)
		return !made && (err->code == ERR_REFUSED || err->code == ERR_INPUT) && strstr(err->message, row->want);
	if (strcmp(row->path, "notes") == 0)
		return made && has_text(json_object_get(got, "notes"), row->want);
	json_t *found = walk(got, row->path);
	if (!row->want)
		return made && !found;
	json_t *want = json(row->want);
	const bool same = made && json_equal(found, want);
	json_decref(want);
	return same;
}

static void run(const struct row *row)
{
	struct copy_request r = {0};
	struct err err = {0};
	json_t *doc = json(plain), *patch = json(row->patch), *before;
	json_t *config = json(row->flags & ENTRYPOINT ? image : "{}");
	const struct copy_options o = {
		.name = "web-3",
		.copy_of = ID,
		.op_id = "op-7",
		.service = "web",
		.index = 3,
		.image_id = row->flags & MOVED ? "sha256:22" : IMAGE,
		.image_config = row->flags & UNKNOWN ? NULL : config,
		.other_host = (row->flags & ELSEWHERE) != 0,
		.recreate = (row->flags & RECREATE) != 0,
		.privileged_allowed = (row->flags & ALLOWED) != 0,
		.podman = (row->flags & PODMAN) != 0,
	};

	(void)json_object_update_recursive(doc, patch);
	before = json_deep_copy(doc);
	const bool made = copy_make(doc, &o, &r, &err) == 0;
	json_t *got = json_pack("{s:O?, s:O?, s:O?, s:s}", "create", r.create, "connect", r.connect, "notes", r.notes,
	                        "image_id", r.image_id);
	const bool good = check(row, got, made, &err) && json_equal(doc, before) && made == (r.create != NULL);
	if (!OK(good, "%s", row->name)) {
		char *text = json_dumps(got, JSON_INDENT(1));
		printf("# want %s = %s; %s\n%s\n", row->path, row->want ? row->want : "nothing", err.message, text);
		free(text);
	}
	json_decref(got);
	json_decref(before);
	json_decref(doc);
	json_decref(patch);
	json_decref(config);
	copy_release(&r);
}

/* ---- what the engine made of it ---- */

static const struct {
	const char *name, *asked, *made; /* made: {Image, Config, HostConfig} */
	const char *refused;             /* a part of the message; NULL: it is good */
} checks[] = {
	{"what was asked for is there", "{'Cmd':['a'],'HostConfig':{'Memory':7}}",
     "{'Image':'i','Config':{'Cmd':['a']},'HostConfig':{'Memory':7}}", NULL},
	{"an engine may write a value in its own way", "{'HostConfig':{'Binds':['/a:/b'],'NetworkMode':'default'}}",
     "{'Image':'i','Config':{},'HostConfig':{'Binds':['/a:/b:rw'],'NetworkMode':'bridge'}}", NULL},
	{"what is not set need not be there",
     "{'Entrypoint':[''],'Volumes':{'/d':{}},'HostConfig':{'Init':false,'Dns':[]}}",
     "{'Image':'i','Config':{},'HostConfig':{}}", NULL},
	{"a field that is not known is gone", "{'HostConfig':{'Annotations':{'a':'b'}}}",
     "{'Image':'i','Config':{},'HostConfig':{'Memory':0}}", "HostConfig.Annotations"},
	{"a field of the configuration too", "{'Newer':1}", "{'Image':'i','Config':{},'HostConfig':{}}", "do Newer"},
	{"a member of a known field too", "{'Healthcheck':{'Test':['CMD'],'StartInterval':5}}",
     "{'Image':'i','Config':{'Healthcheck':{'Test':['CMD']}},'HostConfig':{}}", "Healthcheck.StartInterval"},
	{"and one within a list", "{'HostConfig':{'Mounts':[{'Type':'bind','BindOptions':{'New':true}}]}}",
     "{'Image':'i','Config':{},'HostConfig':{'Mounts':[{'Type':'bind','BindOptions':{}}]}}",
     "HostConfig.Mounts.BindOptions"},
	{"a limit that the kernel cannot do is gone", "{'HostConfig':{'OomKillDisable':true}}",
     "{'Image':'i','Config':{},'HostConfig':{'OomKillDisable':null}}", "HostConfig.OomKillDisable"},
	{"a limit that no kernel has is not missed", "{'HostConfig':{'KernelMemory':4194304}}",
     "{'Image':'i','Config':{},'HostConfig':{}}", NULL},
	{"nor what engines do that do not know the word", "{'HostConfig':{'CgroupnsMode':'host'}}",
     "{'Image':'i','Config':{},'HostConfig':{}}", NULL},
	{"but what they do not do", "{'HostConfig':{'CgroupnsMode':'private'}}",
     "{'Image':'i','Config':{},'HostConfig':{}}", "CgroupnsMode"},
	{"endpoints come later", "{'NetworkingConfig':{'EndpointsConfig':{'n1':{'Aliases':['a']}}}}",
     "{'Image':'i','Config':{},'HostConfig':{}}", NULL},
	{"another image than was meant", "{}", "{'Image':'j','Config':{},'HostConfig':{}}", "image j instead of i"},
};

static void run_checks(void)
{
	for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
		struct copy_request r = {.create = json(checks[i].asked), .image_id = "i"};
		json_t *made = json(checks[i].made);
		struct err err = {0};
		const bool good = copy_check(&r, made, &err) == 0;
		OK(checks[i].refused ? !good && err.code == ERR_REFUSED && strstr(err.message, checks[i].refused) : good,
		   "made: %s: %s", checks[i].name, err.message);
		json_decref(made);
		copy_release(&r);
	}
}

static void run_many_notes(void)
{
	const struct copy_options o = {.name = "web-3", .image_id = IMAGE};
	struct copy_request r = {0};
	struct err err = {0};
	json_t *doc = json(plain), *ports = walk(doc, "HostConfig/PortBindings");
	char key[16];

	(void)json_object_set_new(walk(doc, "Config/Labels"), "autoscale.ports", json_string("none"));
	for (int port = 8000; port < 8100; port++) {
		(void)snprintf(key, sizeof key, "%d/tcp", port);
		(void)json_object_set_new(ports, key, json_pack("[{s:s}]", "HostPort", "9000"));
	}
	OK(copy_make(doc, &o, &r, &err) == 0 && json_array_size(r.notes) == 20 && has_text(r.notes, "and more"),
	   "of a hundred notes twenty are kept, and the last says so");
	json_decref(doc);
	copy_release(&r);
}

static void run_left_network(void)
{
	const struct copy_options o = {.name = "web-3", .image_id = IMAGE};
	struct copy_request r = {0};
	struct err err = {0};
	json_t *doc = json(plain), *want = json("[{'network':'n1','endpoint':null}]");

	(void)json_object_clear(walk(doc, "NetworkSettings/Networks"));
	OK(copy_make(doc, &o, &r, &err) == 0 && json_equal(r.connect, want),
	   "a copy of one that has left its only network is to leave it before the start");
	IS_STR(json_string_value(walk(r.create, "Labels/autoscale.copy-of")), ID,
	       "without a given original it is the source");
	OK(!walk(r.create, "Labels/autoscale.op"), "without an operation there is no label for it");
	json_decref(doc);
	json_decref(want);
	copy_release(&r);
}

/* ---- how a container is shown ---- */

static json_t *shown(const char *patch, bool template, bool with_create)
{
	struct buf b = BUF_INIT(1u << 20);
	json_t *doc = json(plain), *more = json(patch), *create = json("{'Env':['PATH=/bin']}");
	json_error_t why;

	(void)json_object_update_recursive(doc, more);
	if (template)
		template_json(&b, doc, "h1", with_create ? create : NULL);
	else
		container_json(&b, doc, "h1", true);
	json_t *v = json_loads(b.p ? b.p : "", JSON_REJECT_DUPLICATES, &why);
	if (!v)
		printf("# %s: %s\n", why.text, b.p ? b.p : "");
	json_decref(doc);
	json_decref(more);
	json_decref(create);
	buf_release(&b);
	return v;
}

static const struct {
	const char *name, *patch;
	bool template;
	const char *path, *want;
} views[] = {
	{"a container's name has no slash", "{}", false, "name", "'web'"},
	{"its host is named", "{}", false, "host", "'h1'"},
	{"a time has milliseconds", "{'Created':'2026-11-24T02:55:16.123456789Z'}", false, "created",
     "'2026-11-24T02:55:16.123Z'"},
	{"a time that never was is null", "{'State':{'StartedAt':'0001-01-01T00:00:00Z'}}", false, "started", "null"},
	{"no health check is null", "{'State':{'Status':'running'}}", false, "health", "null"},
	{"Podman's empty health is null", "{'State':{'Health':{'Status':''}}}", false, "health", "null"},
	{"health is the engine's", "{'State':{'Health':{'Status':'starting'}}}", false, "health", "'starting'"},
	{"an index is a number", "{'Config':{'Labels':{'autoscale.index':'12'}}}", false, "index", "12"},
	{"a label that is no number is no index", "{'Config':{'Labels':{'autoscale.index':'1e3'}}}", false, "index",
     "null"},
	{"an original is no copy", "{}", false, "copy", "false"},
	{"a copy is one", "{'Config':{'Labels':{'autoscale.copy-of':'x'}}}", false, "copy", "true"},
	{"a running container has addresses", "{'State':{'Running':true}}", false, "addresses", "{'n1':'10.91.0.2'}"},
	{"a stopped one has none", "{'State':{'Running':false}}", false, "addresses", "{}"},
	{"an IPv6 address will do",
     "{'State':{'Running':true},'NetworkSettings':{'Networks':{'n1':{'IPAddress':'','GlobalIPv6Address':'fd00::2'}}}}",
     false, "addresses", "{'n1':'fd00::2'}"},
	{"an exposed port is not published", "{}", false, "ports",
     "[{'port':80,'protocol':'tcp','published':null,'ip':null}]"},
	{"a published port has both numbers",
     "{'NetworkSettings':{'Ports':{'80/tcp':[{'HostIp':'0.0.0.0','HostPort':'32768'}],'53/udp':null}}}", false, "ports",
     "[{'port':80,'protocol':'tcp','published':32768,'ip':'0.0.0.0'},"
     "{'port':53,'protocol':'udp','published':null,'ip':null}]"},
	{"only the variables meant for us are shown",
     "{'Config':{'Env':['SECRET=x','AUTOSCALE_MAX=3','VIRTUAL_HOST=a.example','AUTOSCALE_STORE=mysql://u:pw@db/as']}}",
     false, "variables", "{'AUTOSCALE_MAX':'3','VIRTUAL_HOST':'a.example'}"},
	{"of a variable given twice the last counts", "{'Config':{'Env':['AUTOSCALE_MAX=3','AUTOSCALE_MAX=4']}}", false,
     "variables", "{'AUTOSCALE_MAX':'4'}"},
	{"no labels are an empty object", "{'Config':{'Labels':null}}", false, "labels", "{}"},
	{"a label's odd bytes stay JSON", "{'Config':{'Labels':{'a\\u0007\\u009b':'\\u202e\\\"'}}}", false,
     "labels/a\a\xc2\x9b", "'\\u202e\\\"'"},

	{"half a CPU", "{}", true, "cpu", "0.5"},
	{"by quota and period too", "{'HostConfig':{'NanoCpus':0,'CpuQuota':150000,'CpuPeriod':100000}}", true, "cpu",
     "1.5"},
	{"whole CPUs are an integer", "{'HostConfig':{'NanoCpus':2000000000}}", true, "cpu", "2"},
	{"no limit is null", "{'HostConfig':{'NanoCpus':0}}", true, "cpu", "null"},
	{"memory is bytes", "{}", true, "memory", "67108864"},
	{"no memory limit is null", "{'HostConfig':{'Memory':0}}", true, "memory", "null"},
	{"the environment shows names only", "{}", true, "env", "['PATH','E','BARE']"},
	{"networks are names", "{}", true, "networks", "['n1']"},
	{"restart as docker run takes it", "{'HostConfig':{'RestartPolicy':{'Name':'on-failure','MaximumRetryCount':3}}}",
     true, "restart", "'on-failure:3'"},
	{"no restart policy is no", "{'HostConfig':{'RestartPolicy':{'Name':'','MaximumRetryCount':0}}}", true, "restart",
     "'no'"},
	{"volumes and tmpfs",
     "{'HostConfig':{'Tmpfs':{'/t':'size=64k'}},'Mounts':[{'Type':'volume','Name':'v1','Source':'/var/lib/docker/v1',"
     "'Destination':'/v','Mode':'z','RW':true}]}",
     true, "volumes",
     "[{'type':'volume','source':'v1','destination':'/v','mode':'z','rw':true},"
     "{'type':'tmpfs','source':null,'destination':'/t','mode':'size=64k','rw':true}]"},
	{"the image's id", "{}", true, "image_id", "'" IMAGE "'"},
	{"no create request unless it was given", "{}", true, "create", NULL},
};

static void run_views(void)
{
	for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
		json_t *got = shown(views[i].patch, views[i].template, false), *found = walk(got, views[i].path);
		json_t *want = views[i].want ? json(views[i].want) : NULL;
		OK(want ? json_equal(found, want) : got && !found, "%s: %s", views[i].template ? "template" : "container",
		   views[i].name);
		json_decref(want);
		json_decref(got);
	}
	json_t *got = shown("{}", true, true);
	OK(json_array_size(walk(got, "create/Env")) == 1, "template: the create request when it was given");
	json_decref(got);
}

static void run_services(void)
{
	static const struct {
		const char *patch, *want;
	} all[] = {
		{"{}", "web"},
		{"{'Config':{'Labels':{'service':'b','com.docker.compose.service':'c'}}}", "web"},
		{"{'Config':{'Labels':{'autoscale.service':'../x','service':'b','com.docker.compose.service':'c'}}}", "b"},
		{"{'Config':{'Labels':{'autoscale.service':null,'com.docker.compose.service':'c'}}}", "c"},
		{"{'Config':{'Labels':{'autoscale.service':'','com.docker.swarm.service.name':'d'}}}", "d"},
		{"{'Config':{'Labels':null,'Env':['AUTOSCALE_SERVICE=e']}}", "e"},
		{"{'Config':{'Labels':{'autoscale.service':'a b'}}}", NULL},
		{"{'Config':{'Labels':{'autoscale.service':'-b'}}}", NULL},
		{"{'Config':{'Labels':null}}", NULL},
	};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		char name[64] = "";
		json_t *doc = json(plain), *patch = json(all[i].patch);
		(void)json_object_update_recursive(doc, patch);
		const bool has = container_service(doc, name, sizeof name);
		OK(has == (all[i].want != NULL) && strcmp(name, has ? all[i].want : "") == 0, "service %s: %s",
		   all[i].want ? all[i].want : "of none", all[i].patch);
		json_decref(doc);
		json_decref(patch);
	}
}

static void run_joins(void)
{
	enum { VH = 1u << CONVENTION_VIRTUAL_HOST, TR = 1u << CONVENTION_TRAEFIK };
	static const struct {
		const char *patch;
		unsigned conventions;
		const char *service; /* "": of none */
		bool joins;
	} all[] = {
		{"{'Config':{'Labels':null}}", VH | TR, "", false},
		{"{'Config':{'Labels':null,'Env':['VIRTUAL_HOST=a.example']}}", 0, "", false},
		{"{'Config':{'Labels':null,'Env':['VIRTUAL_HOST=a.example']}}", TR, "", false},
		{"{'Config':{'Labels':null,'Env':['VIRTUAL_HOST=a.example']}}", VH, "web", true},
		{"{'Config':{'Labels':null,'Env':['VIRTUAL_HOST=']}}", VH, "", false},
		{"{'Config':{'Labels':null,'Env':['VIRTUAL_HOST=a.example']},'Name':'/_x'}", VH, "", true},
		{"{'Config':{'Labels':{'autoscale.service':null,'service':'s','traefik.enable':'true'}}}", TR, "s", true},
		{"{'Config':{'Labels':{'autoscale.service':null,'traefik.enable':'true'}}}", TR, "web", true},
		{"{'Config':{'Labels':{'autoscale.service':null,'autoscale.max':'3'}}}", VH, "", true},
		{"{'Config':{'Labels':{'autoscale.service':null,'autoscale.lb':'edge'}}}", 0, "web", true},
		{"{'Config':{'Labels':null,'Env':['AUTOSCALE_LB=edge']}}", 0, "web", true},
		{"{'Config':{'Labels':null,'Env':['AUTOSCALE_LB=edge','AUTOSCALE_SERVICE=s']}}", 0, "s", true},
	};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		char name[64] = "?";
		json_t *doc = json(plain), *patch = json(all[i].patch);
		(void)json_object_update_recursive(doc, patch);
		const bool yes = container_joins(doc, all[i].conventions, name, sizeof name);
		OK(yes == all[i].joins && strcmp(name, all[i].service) == 0, "with conventions %u it %s, service \"%s\": %s",
		   all[i].conventions, all[i].joins ? "joins" : "does not join", all[i].service, all[i].patch);
		json_decref(doc);
		json_decref(patch);
	}
}

/* ---- without memory ---- */

static long allocations, fails_from; /* the allocator's only way to know */

static void *allocate(size_t n) { return ++allocations >= fails_from ? NULL : malloc(n); }

static void run_out_of_memory(void)
{
	json_t *config = json(image);
	const struct copy_options o = {.name = "web-3",
	                               .copy_of = ID,
	                               .op_id = "op-7",
	                               .index = 3,
	                               .image_id = "sha256:22",
	                               .image_config = config,
	                               .podman = true};
	json_t *
		doc = json(plain),
	   *patch = json(
		   "{'Config':{'Labels':{'com.docker.compose.service':'a','autoscale.service':null,'autoscale.image':'follow'},"
		   "'MacAddress':'02:42:ac:11:99:99'},'HostConfig':{'Binds':['v:/v','" ANON ":/a'],"
		   "'PortBindings':{'9/tcp':[{'HostPort':''}]}},'NetworkSettings':{'Networks':"
		   "{'n2':{'NetworkID':'8888','Aliases':['m2'],'DriverOpts':{'a':'b'}}}}}");
	long told = 0;
	bool made = false;

	(void)json_object_update_recursive(doc, patch);
	for (fails_from = 1; !made && fails_from < 10000; fails_from++) {
		struct copy_request r;
		struct err err = {0};
		allocations = 0;
		json_set_alloc_funcs(allocate, free);
		made = copy_make(doc, &o, &r, &err) == 0;
		json_set_alloc_funcs(malloc, free);
		told += !made && err.code == ERR_TEMPORARY && !r.create && !r.connect && !r.notes;
		copy_release(&r);
	}
	OK(made && told == fails_from - 2 && told > 50, "each of %ld allocations that may fail is told, none is swallowed",
	   told);
	json_decref(doc);
	json_decref(config);
	json_decref(patch);
}

int main(void)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		run(&rows[i]);
	run_checks();
	run_many_notes();
	run_left_network();
	run_views();
	run_services();
	run_joins();
	run_out_of_memory();
	return DONE();
}
