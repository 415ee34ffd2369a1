-- Old terminal records are joined or left out, by indexes too: see `summary`.
CREATE INDEX executions_ended ON executions (plan_id, sequence)
    WHERE kind <> 'restore' AND outcome IN ('success', 'partial', 'failure') AND error IS NOT 'SW1016';
CREATE INDEX failed_runs_of_plans ON runs (plan_id, started_at, backup_id) WHERE is_point = 0;
DROP INDEX executions_restoring;
CREATE INDEX restores_in_place ON executions (json_extract(body, '$.restores.dataset_id'), sequence)
    WHERE kind = 'restore' AND json_extract(body, '$.restores.in_place') = 1;
