//! Every bound of the drill tool, with its unit and the reason for its size.

use std::time::Duration;

use crate::scenario::Share;

/// Drills of a suite at once: the blocks of ports would do for far more.
pub const JOBS_MAX: u16 = 32;
/// Processes on one machine.
pub const NODES_MAX: u16 = 7;
/// Characters of a scenario's name; it is part of a folder's name.
pub const NAME_CHARS_MAX: usize = 40;
/// One phase; a longer drill belongs on machines of its own.
pub const PHASE_MAX: Duration = Duration::from_secs(60 * 60);
/// The whole run.
pub const WALL_TIME_MAX: Duration = Duration::from_secs(4 * 60 * 60);
/// Of the open-loop schedule.
pub const ORDERS_PER_S_MAX: u32 = 100_000;
/// The protocol's own bound.
pub const STAMPS_PER_ORDER_MAX: u32 = 10_000;
pub const ACCOUNTS_MAX: u32 = 10_000_000;
/// The protocol's own bound: 31 days.
pub const PAYMENT_WINDOW_MAX: Duration = Duration::from_secs(31 * 24 * 60 * 60);
/// The protocol's own bound: 366 days.
pub const VOID_WINDOW_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// Pauses, delays and deadlines of a scenario.
pub const DELAY_MAX: Duration = Duration::from_secs(10 * 60);
/// Who pays after the order expired does so within this.
pub const LATE_PAYMENT_MAX: Duration = Duration::from_secs(2);
pub const SERIES_MAX: usize = 16;
/// Sends of one request.
pub const ATTEMPTS_MAX: u32 = 10_000;
/// Buyers at once: each is a task and a few hundred bytes.
pub const BUYERS_IN_FLIGHT_MAX: u32 = 1_000_000;
/// Faults of one kind.
pub const FAULTS_MAX: u32 = 10_000;

/// How often a condition may fire its faults.
pub const WHEN_TIMES_MAX: u32 = 1_000;
/// Of faults that overlap: one waits for a node that another still holds, and whoever waits gives up after this at the soonest
/// (`DISK_FAILURE_NOTICED`, `STOP_DEADLINE`, `READY_DEADLINE`).
pub const OVERLAPPING_LASTS_MAX: Duration = Duration::from_secs(8);
/// Between two looks whether a condition is true: short beside the time-out of an election.
pub const CONDITION_INTERVAL: Duration = Duration::from_millis(50);

/// By how much two clocks of one machine may differ over a drill, milliseconds: the nodes tell time by the wall clock, which is
/// set and slewed, the tool by the steady one.
pub const CLOCK_SLACK_MS: u64 = 1_000;

/// A node that is watched says something every five seconds.
pub const SILENT_WATCH_MAX: Duration = Duration::from_secs(8);

/// So many double payments are drawn on the average that hardly any run has none: one in a hundred million.
pub const DOUBLE_PAYMENTS_SURE: u64 = 20;
/// The refund clerk looks for what is owed back this often.
pub const REFUND_INTERVAL: Duration = Duration::from_millis(500);
/// Refunds of one page: small, so that a run has many pages.
pub const REFUND_PAGE: u32 = 50;
/// Refunds that the clerk settles at once.
pub const SETTLEMENTS_IN_FLIGHT_MAX: usize = 16;

/// The arrival schedule is looked at this often; arrivals between two looks start together, each with its intended time.
pub const ARRIVAL_TICK: Duration = Duration::from_millis(2);
/// How long an answer to a call that was given up is still listened for.
pub const LATE_ANSWER_MAX: Duration = Duration::from_secs(5);
/// Calls that were given up and are listened for at once.
pub const LATE_CALLS_MAX: u32 = 1 << 20;
/// Answers that break the protocol and are told one by one.
pub const ODDITIES_MAX: usize = 100;
/// Commands of one batch on a stream; small, so that a portal's batch is not a whole log entry.
pub const STREAM_BATCH_MAX: usize = 64;
/// How long a stream waits for more commands before it sends a batch.
pub const STREAM_LINGER: Duration = Duration::from_millis(3);
/// Commands that wait for a stream to a node; a full queue refuses, and the buyer tries another node.
pub const STREAM_QUEUE_MAX: usize = 4_096;
/// Pause before a broken stream is opened again.
pub const STREAM_REOPEN_PAUSE: Duration = Duration::from_millis(50);
/// To connect to a node on the same machine.
pub const CONNECT_DEADLINE: Duration = Duration::from_millis(200);
/// The protocol's own bound on the printed codes of one answer to a batch: an issue that exceeds it is answered without.
pub const ANSWER_CODES_MAX: u32 = 20_000;
/// One answer of the server: a scan or a log entry with a thousand commands stays far below.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Gateways wait longer for an answer than buyers do, and send so many notices to one node at once.
pub const NOTICE_DEADLINE: Duration = Duration::from_secs(5);
pub const NOTICES_AT_ONCE_MAX: usize = 128;
/// The answer to a gateway's notice: an outcome and where it stands.
pub const WEBHOOK_ANSWER_BYTES_MAX: usize = 64 << 10;

/// Records of one page of an auditor's list, and pages of one list.
pub const AUDIT_PAGE_MAX: u32 = 100;
pub const AUDIT_PAGES_MAX: u32 = 20;

/// Between two looks at each node's status.
pub const STATUS_INTERVAL: Duration = Duration::from_millis(150);
/// For one answer to it; a dead node answers at once, a paused one not at all.
pub const STATUS_DEADLINE: Duration = Duration::from_millis(150);
/// Between two looks at each node's digests; a node keeps the last 4,096.
pub const DIGEST_INTERVAL: Duration = Duration::from_millis(500);
/// Every so many log indexes' digests are kept in the history: enough to compare, little enough to write.
pub const DIGEST_STRIDE: u64 = 4;
/// Between two reads of the log's tail.
pub const EXPORT_INTERVAL: Duration = Duration::from_millis(100);
/// For an order that a drill gives a process from within; one that has just lost an election answers too.
pub const CONTROL_DEADLINE: Duration = Duration::from_secs(2);
/// One read of the tail, or of a digest list.
pub const ADMIN_DEADLINE: Duration = Duration::from_secs(10);
/// One replica's whole scan.
pub const SCAN_DEADLINE: Duration = Duration::from_secs(120);

/// A tool that sends later than this after the intended time cannot say that the system was late: a hundred ticks of its schedule,
/// and a tenth of the scenarios' bounds on the first success.
pub const SEND_LAG_MAX: Duration = Duration::from_millis(200);
/// How often the machine's own disk is tried.
pub const MACHINE_SYNC_INTERVAL: Duration = Duration::from_millis(200);
/// What is written and synced each time, bytes: as little as a node's log syncs for one order.
pub const MACHINE_SYNC_BYTES: usize = 4096;
/// A machine whose own disk takes longer than this for it cannot say that the system was late: as much as the tool itself may be
/// late. A write of the system waits for two such syncs, its leader's and a follower's, and scenarios ask for 500 ms.
pub const MACHINE_SYNC_MAX: Duration = Duration::from_millis(200);
/// What a link may be slowed by: beyond the longest time-out of an election nothing is left of a cluster.
pub const LINK_DELAY_MAX: Duration = Duration::from_secs(1);
/// By how much a clock may be wrong.
pub const CLOCK_OFFSET_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A clock that strobes is wrong and right for so long each.
pub const STROBE_INTERVAL: Duration = Duration::from_millis(200);
/// Of the packets of a link that any of its faults may hit: beyond, TCP gets nothing through, and it is a cut.
pub const PACKETS_HIT_MAX: Share = Share::from_percent(50);
/// What a link may be limited to, bytes a second: with less, an election takes longer than its time-out; with more, nothing is limited.
pub const LINK_BYTES_PER_S_MIN: u64 = 16 << 10;
pub const LINK_BYTES_PER_S_MAX: u64 = 1 << 30;
/// Of a core that a node may be limited to: with less, nothing is left of it, and a pause does the same.
pub const CPU_SHARE_MIN: Share = Share::from_percent(1);
/// What a node's memory may be limited to, bytes: the kernel's own shares of a process come to more than the least, and what is above
/// the most limits nothing.
pub const MEMORY_BYTES_MIN: u64 = 1 << 20;
pub const MEMORY_BYTES_MAX: u64 = 1 << 40;
/// Descriptors that a node may be left beyond those that it has: more than callers take in no time limits nothing.
pub const DESCRIPTORS_SPARE_MAX: u32 = 256;
/// Of those who take the descriptors of a node, by calling it: so many more, as long as it has one left, and in all.
pub const CALLERS_AT_ONCE: usize = 16;
pub const CALLERS_MAX: usize = 1_024;
/// A limit that `doctor` tries is felt by then.
pub const PROBE_LIMIT_FELT: Duration = Duration::from_secs(5);
/// A packet that `doctor` sends between two namespaces is there by then, or met its cut.
pub const PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// A link that flaps is cut and joined for so long each.
pub const FLAP_INTERVAL: Duration = Duration::from_millis(250);
/// A node's own disk, where it has one: a file with holes. The longest drill writes some hundred megabytes.
pub const DISK_BYTES: u64 = 2 << 30;
/// What its node wants to have free there before it takes new orders, as its configuration says it: far above what a drill writes
/// while the room that is left is below it.
pub const DISK_FLOOR: &str = "256MiB";
/// What a fault that lowers disks leaves free.
pub const LOW_DISK_BYTES: u64 = 128 << 20;
/// A node whose disk is low has handed over by then, or refuses new orders.
pub const DISK_LOW_NOTICED: Duration = Duration::from_secs(5);
/// Of the disk that is made to see whether disks can be made; less than ext4 takes for a journal.
pub const PROBE_DISK_BYTES: u64 = 16 << 20;
/// A disk that stands still is thawed by the watchdog so long after the fault should have ended.
pub const FREEZE_SLACK: Duration = Duration::from_secs(5);
/// A node whose disk fails has ended by itself by then: it is written to all the time.
pub const DISK_FAILURE_NOTICED: Duration = Duration::from_secs(10);
/// A fault waits so long for the state that it wants, such as a leader.
pub const TARGET_WAIT_MAX: Duration = Duration::from_secs(5);
/// A node that has been made to read all that it holds has ended by then, if it will.
pub const DAMAGE_TOLD: Duration = Duration::from_secs(2);
/// A process comes by its crash point by then; one that takes a snapshot over is sent it first.
pub const CRASH_POINT_REACHED: Duration = Duration::from_secs(15);
/// After this, logs are purged behind what a node that is away has: snapshots are asked for until then.
pub const PURGED_WITHIN: Duration = Duration::from_secs(10);
/// A member whose disk was emptied is called by the others, and has said why it takes no part, by then.
pub const REFUSAL_TOLD: Duration = Duration::from_secs(10);
/// A node that joins by a token is a member by then, without a vote.
pub const JOINED_WITHIN: Duration = Duration::from_secs(20);
/// A new member has what the others have by then; it takes a snapshot and what came after it.
pub const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(30);
/// A command about members ends by then: it waits until the new one has caught up, and each of its calls takes ten seconds at most.
pub const MEMBER_COMMAND_DEADLINE: Duration = Duration::from_secs(60);
/// A member that was given its vote knows of it by then.
pub const VOTE_KNOWN_WITHIN: Duration = Duration::from_secs(5);
/// Taking back what a run left ends by then, whatever is left: a file that somebody has open, a process that does not die.
pub const HEAL_DEADLINE: Duration = Duration::from_secs(20);
/// What a killed tool had just started shows itself by then: a process between its fork and its exec names no folder.
pub const ORPHANS_SHOWN: Duration = Duration::from_secs(2);
/// One command of a cluster file ends by then: to start a pod takes a while.
pub const COMMAND_DEADLINE: Duration = Duration::from_secs(30);
/// Between two tries to take back what a command did: it may go over a network to a machine that is busy.
pub const RECALL_PAUSE: Duration = Duration::from_secs(1);
/// A node that was killed by a command is gone when it did not answer so often, one look after the other: one answer may be late.
pub const SILENT_LOOKS: u32 = 3;
/// A killed process is gone by then; a signal to a stopping node is given `STOP_DEADLINE`.
pub const KILL_DEADLINE: Duration = Duration::from_secs(5);
pub const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// A started node answers its first status call by then; a long log to replay takes seconds.
pub const READY_DEADLINE: Duration = Duration::from_secs(30);
/// From the first start to the first leader.
pub const FORM_DEADLINE: Duration = Duration::from_secs(30);
/// Beyond the longest stay that a scenario draws, buyers and notices finish by then.
pub const FINISH_DEADLINE: Duration = Duration::from_secs(60);
/// After the drain, all replicas have the same applied index by then.
pub const CONVERGE_DEADLINE: Duration = Duration::from_secs(60);
/// Fresh orders after the heal.
pub const FRESH_ORDERS: u32 = 20;
/// The protocol's own: what a node gives a call that brings no deadline, and the most that it gives to any.
pub const SERVER_DEADLINE: Duration = Duration::from_secs(5);
pub const SERVER_DEADLINE_MAX: Duration = Duration::from_secs(60);
/// Calls at once when asking after unknowns.
pub const ASK_IN_FLIGHT_MAX: usize = 64;
/// How often the disk guard measures the run's folder.
pub const GUARD_INTERVAL: Duration = Duration::from_secs(2);
/// Between two looks of the guards at what the nodes say.
pub const GUARD_LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// The page of a node's metrics.
pub const METRICS_BYTES_MAX: usize = 4 << 20;
/// Scrapes of the tool's own metrics at once.
pub const SCRAPES_AT_ONCE_MAX: usize = 8;
/// How long a scraper may take to say what it wants.
pub const SCRAPE_DEADLINE: Duration = Duration::from_secs(10);
/// Before the next attempt to accept a scraper, after one that failed.
pub const SCRAPE_ACCEPT_PAUSE: Duration = Duration::from_millis(100);
