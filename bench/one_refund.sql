-- The rows that one refund leaves behind, in one transaction: no decision, no provider, one commit.
-- Run by pgbench, prepared, 8 clients; :orders orders (or_1 …) must be there.
\set n :n + 1
\set o random(1, :orders)
\set seq 10 + (:client_id + 1) * 1000000000 + 4 * :n
BEGIN;
UPDATE orders SET version = version + 1, head_seq = :seq::bigint, updated_at = :seq::bigint, state = :doc::text WHERE id = 'or_' || :o::bigint;
UPDATE payments SET refunded_ours = 1000 WHERE order_id = 'or_' || :o::bigint AND id = 'pay_' || :o::bigint;
INSERT INTO refunds (order_id, id, state, reason, amount, currency, amount_succeeded, requested_by, created_at)
  VALUES ('or_' || :o::bigint, 'rf_' || :seq::bigint, 'succeeded', 'return', 3200, 'EUR', 3200, 'bench', :seq::bigint);
INSERT INTO legs (order_id, id, refund_id, payment_id, connection, kind, state, amount, psp_refund_id)
  VALUES ('or_' || :o::bigint, 'leg_' || :seq::bigint, 'rf_' || :seq::bigint, 'pay_' || :o::bigint, 'psp', 'refund', 'succeeded', 3200, 're_' || :seq::bigint);
INSERT INTO decisions (order_id, refund_id, at, policy, rule, outcome, score_bp, model, amount, fields, features, shadows, rows, statutory)
  VALUES ('or_' || :o::bigint, 'rf_' || :seq::bigint, :seq::bigint, :hash::text, 'r10', 'approve', 100, 'scorecard', 3200, :body::text, :body::text, '[]', '.........+', false);
INSERT INTO events (stream, seq, at, type, actor, fact, ctx, body, entries, previous, hash)
  SELECT 'or_' || :o::bigint, :seq::bigint + k, :seq::bigint, 'leg.moved', 'bench', 'rf_' || :seq::bigint, :hash::text, :body::text, '[]', :hash::text, :hash::text
  FROM generate_series(0, 2) AS k;
INSERT INTO entries (order_id, number, at, kind, entity, currency, functional_currency, refund_id, leg_id, psp_refund_id, posted_on, holder, worth)
  SELECT 'or_' || :o::bigint, :seq::bigint + k, :seq::bigint, 'claim', 'main', 'EUR', 'EUR', 'rf_' || :seq::bigint, 'leg_' || :seq::bigint, 're_' || :seq::bigint, '', '', ''
  FROM generate_series(0, 1) AS k;
INSERT INTO postings (order_id, entry, line, account, currency, amount, functional, entity, at)
  SELECT 'or_' || :o::bigint, :seq::bigint, k, 'refunds_payable', 'EUR', 3200, 3200, 'main', :seq::bigint
  FROM generate_series(1, 5) AS k;
INSERT INTO documents_due (order_id, entry, at, doc) VALUES ('or_' || :o::bigint, :seq::bigint, :seq::bigint, :body::text);
UPDATE customer_days SET refunds = refunds + 1, refund_value = refund_value + 3200 WHERE customer = 'c_' || :o::bigint;
COMMIT;
