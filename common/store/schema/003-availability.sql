-- What service availability needs to know: which containers a host had that does not answer now, and what is gone
-- because somebody wanted it to go.

-- The copy's number, of the label autoscale.index; NULL without one.
ALTER TABLE container ADD COLUMN copy_index BIGINT NULL;

-- Why the container is not made again: the operation that takes it away, or other words. NULL: nobody wanted it gone.
ALTER TABLE container_spec ADD COLUMN removal VARCHAR(64) NULL;
