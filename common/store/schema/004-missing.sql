-- When a remembered container of a compose project was first found gone while others of its project were still there;
-- NULL otherwise.
ALTER TABLE container_spec ADD COLUMN missing_at BIGINT NULL;
