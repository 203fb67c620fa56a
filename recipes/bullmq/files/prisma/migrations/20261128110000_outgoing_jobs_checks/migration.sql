-- What BullMQ does not take would hold up what was sent after it: it is refused where it is sent.
ALTER TABLE "outgoing_jobs"
    ADD CONSTRAINT "outgoing_jobs_queue_check" CHECK ("queue" <> '' AND "queue" NOT LIKE '%:%'),
    ADD CONSTRAINT "outgoing_jobs_times_check" CHECK (isfinite("start_after") AND isfinite("created_at")),
    ADD CONSTRAINT "outgoing_jobs_attempts_check" CHECK ("attempts" > 0),
    ADD CONSTRAINT "outgoing_jobs_state_check" CHECK ("state" IN ('waiting', 'handed', 'running', 'sent', 'cancelled', 'held'));
