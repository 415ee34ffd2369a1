-- Recovery points of all plans, a page at a time.
CREATE INDEX points_by_start ON runs (started_at, backup_id) WHERE is_point = 1;
