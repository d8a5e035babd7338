"""Which test shows that an edge case of refunds is met at which provider; the words of each are its
name. `test_gateways_doc` finds that they are there, and `gateways_doc` shows them."""

from __future__ import annotations

CASES = {
    2: "the answer is lost",
    3: "a crash after the provider did it",
    4: "the key's retention is over",
    5: "the same key, other bytes",
    6: "the webhook before the answer",
    7: "late, repeated or out of order",
    8: "it fails days later",
    10: "refunded by others",
    11: "a dispute meets a refund",
    12: "warning, dispute and refund of one payment",
    16: "currencies of odd units",
    20: "authorized, not captured",
    22: "the balance is short",
}

_LISTED, _AMOUNTS = "test_listed_life", "test_amounts"
_PAYPAL, _ADYEN = "test_paypal_stories", "test_adyen_life"
_ROUND_TRIP = (_AMOUNTS, "every_currency_makes_the_round_trip_or_is_refused")

# Case -> provider -> file in tests/gateways, and what follows `test_edge_NN_` in the test's name.
HELD: dict[int, dict[str, tuple[str, str]]] = {
    2: {
        "stripe": (_LISTED, "a_stored_500_is_looked_up_and_a_later_no_is_unknown"),
        "paypal": (_PAYPAL, "a_timeout_is_settled_by_the_order_s_list"),
        "adyen": (_ADYEN, "an_unknown_outcome_is_settled_by_the_same_bytes"),
        "mollie": (_LISTED, "a_lost_answer_is_found_in_the_list"),
    },
    3: {
        "stripe": (_LISTED, "after_a_crash_the_one_refund_is_found"),
        "paypal": (_PAYPAL, "after_a_crash_the_one_refund_is_found"),
        "adyen": (_ADYEN, "after_a_crash_the_same_bytes_leave_again"),
        "mollie": (_LISTED, "after_a_crash_the_one_refund_is_found"),
    },
    4: {
        "stripe": (_LISTED, "past_the_key_s_retention_it_is_looked_up_and_not_sent"),
        "paypal": (_PAYPAL, "past_the_key_s_45_days_nothing_is_sent_again_unseen"),
        "adyen": (_ADYEN, "past_the_retention_nothing_is_sent_and_a_webhook_settles_it"),
        "mollie": (_LISTED, "past_the_key_s_retention_it_is_looked_up_and_not_sent"),
    },
    5: {
        "stripe": (_LISTED, "a_key_seen_with_other_bytes_is_looked_up"),
        "paypal": (_PAYPAL, "the_same_intent_has_the_same_bytes_and_another_amount_others"),
        "adyen": (_ADYEN, "a_key_that_brought_another_refund_stops_the_order"),
        "mollie": (_LISTED, "a_key_seen_with_other_bytes_is_looked_up"),
    },
    6: {
        "stripe": (_LISTED, "the_webhook_comes_before_the_answer"),
        "paypal": (_PAYPAL, "a_webhook_before_the_answer_moves_nothing"),
        "adyen": (_ADYEN, "the_webhook_comes_before_the_answer"),
        "mollie": (_LISTED, "the_webhook_comes_before_the_answer"),
    },
    7: {
        "stripe": (_LISTED, "what_is_told_again_or_late_changes_nothing"),
        "paypal": (_PAYPAL, "stale_and_repeated_webhooks_change_nothing"),
        "adyen": (_ADYEN, "what_is_heard_twice_happens_once"),
        "mollie": (_LISTED, "what_is_told_again_or_late_changes_nothing"),
    },
    8: {
        "stripe": (_LISTED, "a_refund_that_fails_days_later_puts_the_money_back"),
        "paypal": (_PAYPAL, "a_refund_that_fails_later_is_back_on_the_books"),
        "adyen": (_ADYEN, "a_refund_that_fails_days_later_puts_the_money_back"),
        "mollie": (_LISTED, "a_refund_that_fails_days_later_puts_the_money_back"),
    },
    10: {
        "stripe": (_LISTED, "a_charge_refunded_by_others_is_read_again"),
        "paypal": (_PAYPAL, "a_refund_made_at_paypal_s_own_site_is_adopted"),
        "adyen": (_ADYEN, "a_refund_from_the_customer_area_is_adopted"),
        "mollie": (_LISTED, "a_refund_from_the_dashboard_is_adopted"),
    },
    11: {
        "stripe": (_LISTED, "a_refund_that_a_dispute_fails_is_unwound_and_none_follows"),
        "paypal": (_PAYPAL, "a_disputed_payment_is_not_paid_twice"),
        "adyen": (_ADYEN, "a_chargeback_while_a_refund_is_pending_is_seen_to_pay_twice"),
    },
    12: {
        "stripe": (_LISTED, "warning_and_dispute_and_refund_are_one_exposure"),
        "paypal": (_PAYPAL, "a_claim_paypal_refunded_itself_leaves_nothing_to_refund"),
        "adyen": (_ADYEN, "warning_and_chargeback_and_refund_are_one_exposure"),
    },
    16: dict.fromkeys(("stripe", "paypal", "adyen", "mollie"), _ROUND_TRIP),
    20: {
        "stripe": (_LISTED, "a_part_of_an_authorization_never_becomes_a_cancel"),
        "paypal": (_PAYPAL, "a_part_is_released_by_a_final_capture_of_the_rest"),
        "adyen": (_ADYEN, "a_part_of_an_authorization_never_becomes_a_cancel"),
    },
    22: {
        "stripe": (_LISTED, "a_balance_that_is_short_is_tried_again_under_a_new_key"),
        "paypal": (_PAYPAL, "a_balance_that_is_short_waits_and_comes_back_under_a_new_key"),
        "adyen": (_ADYEN, "a_refund_refused_for_want_of_balance_was_never_shown_as_done"),
        "mollie": (_LISTED, "a_refund_that_waits_for_money_is_not_done"),
    },
}

# Where there is nothing to show, and why.
NOT_THERE = {
    (11, "mollie"): "its chargebacks are not known here",
    (12, "mollie"): "its chargebacks are not known here",
    (20, "mollie"): "its authorizations are not released from here",
}
