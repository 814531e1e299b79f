//! What others were shown to lose, double or invent, as tests that this program does not.
//!
//! `docs/losses.md` says where each was shown. Here is which test looks at it; `process::` and the others stand elsewhere
//! in this binary.
//!
//! | shown | test |
//! | --- | --- |
//! | Falcon gateway A: a lower offset that comes after a higher one is skipped | `falcon::an_offset_that_comes_after_a_higher_one_is_not_skipped` |
//! | B: an entry that failed inside a 200 is skipped when it is read again | `falcon::one_entry_of_six_that_fails_is_sent_again_and_reading_all_again_adds_nothing` |
//! | C: a throttled event is gone | `falcon::a_throttled_call_is_repeated` |
//! | D: an event without `UserIp` or `UserId` is gone; so are a time as text, and no version | `falcon::an_event_without_an_address_a_user_or_a_version_is_published` |
//! | E: offset 0 is skipped | `falcon::offset_zero_is_an_offset` |
//! | F: two customers have one id | `falcon::two_customers_with_one_feed_and_offset_are_two_events`, `falcon::two_customers_are_two_events_also_under_the_names_that_the_gateway_gives` |
//! | G: 40 kB are sent, and refused | `falcon::a_message_of_40_kb_is_published_within_the_limits`, `falcon::what_the_lake_has_no_room_for_is_a_letter_with_its_reason` |
//! | 5 of a stream's 13 events are dropped | `falcon::a_stream_of_thirteen_events_is_published_whole` |
//! | GitHub, Azure Event Hub, Netskope: `failed` entries are logged or counted, and gone | `partners::failed_entries_of_a_200_are_sent_again`, `partners::an_entry_that_is_refused_for_good_is_a_letter_and_not_a_log_line` |
//! | GitHub, Azure blob: an exception stores or repeats what was sent already | `partners::a_call_that_fails_as_a_whole_doubles_nothing` |
//! | GitHub: an event that cannot be transformed spoils its batch | `partners::an_event_that_cannot_be_mapped_does_not_spoil_its_neighbours` |
//! | GitHub: files from 1 MiB on are skipped | `partners::a_file_of_more_than_one_mib_is_published_whole` |
//! | Okta: one bad event repeats its batch of ten; GCP: what cannot be transformed comes for ever | `partners::a_bad_message_makes_no_other_come_again` |
//! | GCP: a wrong dead-letter address | `process::cure::bad_events_wait_for_a_dead_letter_queue` |
//! | EKS: only the last of each 100 is sent | `partners::of_250_events_in_one_message_all_arrive` |
//! | Kong: ids of a failed publish are remembered as seen | `partners::an_id_is_not_seen_before_it_is_published` |
//! | Netskope: events without `_id` are skipped | `partners::an_event_without_an_id_is_a_letter_and_not_skipped`, `mapping::an_event_without_an_id_can_be_told_by_its_content` |
//! | Okta, Azure, EKS: a new id for each attempt | `mapping::every_attempt_gives_the_same_id` |
//! | what is invented or fails in a mapping | `mapping::` |
//! | GitHub, Netskope: calls by count, or by anything but bytes on the wire | `partners::a_message_as_large_as_a_queue_allows_is_published_whole` |

mod falcon;
mod mapping;
mod page;
mod partners;
mod way;
