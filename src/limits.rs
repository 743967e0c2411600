//! Every bound of the system, with its unit and the reason for its size.

use std::time::Duration;

// Part of the format, down to EXPIRE_ORDERS_MAX: what is on disk and in the log is held to these when it is read
// (storage/codec). A range that gets narrower makes old data unreadable; one that gets wider is a new format version, because
// older nodes stop at what they cannot read. `tests/storage/strict.rs` holds the present ranges.

/// Stamps in one order. A distributor's invoice; more is several orders.
pub const ORDER_QUANTITY_MAX: u32 = 10_000;
/// Characters of an account id.
pub const ACCOUNT_ID_CHARS_MAX: usize = 64;
/// Characters of a gateway's name.
pub const GATEWAY_CHARS_MAX: usize = 32;
/// Characters of a gateway's payment id; Midtrans and Xendit use 36 and fewer.
pub const PAYMENT_ID_CHARS_MAX: usize = 64;
/// Rupiah in one payment: a hundred million stamps, far below the overflow of a sum over all orders.
pub const PAYMENT_AMOUNT_IDR_MAX: u64 = 1_000_000_000_000;
/// Stamps in one series.
pub const SERIES_CAPACITY_MAX: u64 = 1_000_000_000;
/// Highest serial number: nine digits of base 32 in the printed code.
pub const STAMP_NUMBER_MAX: u64 = 32u64.pow(9) - 1;
/// Face value of one stamp in rupiah; the law's is 10,000. Times `ORDER_QUANTITY_MAX` it stays a valid payment.
pub const FACE_VALUE_IDR_MAX: u64 = 1_000_000;
/// How long an order may wait for its payment: a second to 31 days.
pub const PAYMENT_WINDOW_MS_MIN: u64 = 1_000;
pub const PAYMENT_WINDOW_MS_MAX: u64 = 31 * 24 * 60 * 60 * 1_000;

/// Characters of the reference that a refund is settled under: banks use 35 and fewer.
pub const SETTLEMENT_REFERENCE_CHARS_MAX: usize = 64;
/// What a void gives back, in percent of what was paid, until a policy is set: the published rule of 2024.
pub const VOID_REFUND_PERCENT_DEFAULT: u32 = 75;
/// How long after its issue an order may be voided: a second to a year; 3 days until a policy is set, as published in 2024.
pub const VOID_WINDOW_MS_MIN: u64 = 1_000;
pub const VOID_WINDOW_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1_000;
pub const VOID_WINDOW_MS_DEFAULT: u64 = 3 * 24 * 60 * 60 * 1_000;

/// Tokens by which new nodes may join, and that have neither expired nor given their node its vote.
pub const JOIN_TOKENS_MAX: usize = 64;
/// How long a token may be good for: a minute to a week.
pub const JOIN_TOKEN_VALID_MS_MIN: u64 = 60 * 1_000;
pub const JOIN_TOKEN_VALID_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;
/// The highest node id: what the configuration takes, too.
pub const NODE_ID_MAX: u64 = u32::MAX as u64;

/// Commands in one batch call, and in one log entry.
pub const BATCH_COMMANDS_MAX: usize = 1_000;
/// Orders that one `ExpireOrders` command expires: bounds the work of one log entry.
pub const EXPIRE_ORDERS_MAX: u32 = 1_000;

// Of the running system: nothing stored depends on these.

/// Writes that wait for the log's writer; a full queue blocks, so it is far above what consensus has under way.
pub const LOG_QUEUE_WRITES_MAX: usize = 8_192;
/// Bytes that one sync of the log covers, about: keeps the wait of the first of a group short.
pub const LOG_GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Memory of the log's RocksDB: write buffers, then cache. Reads of the log are rare, its tail is kept by consensus.
pub const LOG_WRITE_BUFFER_BYTES: usize = 32 * 1024 * 1024;
pub const LOG_WRITE_BUFFERS: i32 = 3;
pub const LOG_BLOCK_CACHE_BYTES: usize = 16 * 1024 * 1024;
/// Jobs that wait for the ledger's thread. Each caller waits for its answer, so there are never more than callers.
pub const LEDGER_QUEUE_JOBS_MAX: usize = 64;
/// Memory of one generation of the ledger: write buffers, then cache, which holds indexes and bloom filters too. Two generations
/// are open while a snapshot is installed.
pub const LEDGER_WRITE_BUFFER_BYTES: usize = 64 * 1024 * 1024;
pub const LEDGER_WRITE_BUFFERS: i32 = 3;
/// Flushed write buffers that are merged into the rest at once. Each merge rewrites a whole level, and every look-up of an id that
/// is not remembered asks the filter of each: twice RocksDB's own number halves the merging.
pub const LEDGER_COMPACTION_FILES: i32 = 8;
pub const LEDGER_BLOCK_CACHE_BYTES: usize = 128 * 1024 * 1024;
/// Share of a write buffer for its bloom filter: most look-ups are of ids that are new.
pub const LEDGER_WRITE_BUFFER_BLOOM_SHARE: f64 = 0.05;
/// One look-up of an absent key in a hundred reads a block for nothing.
pub const LEDGER_BLOOM_BITS_PER_KEY: f64 = 10.0;
/// Orders with the highest ids, and payments of each gateway, that the ledger's thread keeps in memory: some seconds of full load,
/// more than the clocks of portals are apart; at 500 and 150 bytes each, 16 MiB and 5 MiB.
pub const RECENT_ORDERS_MAX: usize = 32_768;
pub const RECENT_PAYMENTS_MAX: usize = 32_768;
/// Gateways whose payments are so kept; the payments of others are looked up.
pub const RECENT_GATEWAYS_MAX: usize = 8;
/// Refunds in memory at once while those that are due are counted, less than 300 bytes each: when a ledger is opened, before it serves.
pub const REFUNDS_COUNTED_AT_ONCE: usize = 1_000;
/// Digests of the last applied entries, 40 bytes each.
pub const RECENT_DIGESTS_MAX: usize = 4_096;
/// What RocksDB has written to a file is handed to the disk after so many bytes: a sync of the log must not wait behind the
/// 64 MiB of a write buffer that the kernel kept for later.
pub const WRITE_BACK_BYTES: u64 = 1024 * 1024;
/// Diagnostics that RocksDB writes for people, each store.
pub const ROCKSDB_INFO_LOGS: usize = 3;
pub const ROCKSDB_INFO_LOG_BYTES: usize = 4 * 1024 * 1024;
/// Snapshots kept: the newest, and one for a follower that is still receiving it.
pub const SNAPSHOTS_KEPT: usize = 2;
/// Bytes of a snapshot in one message.
pub const SNAPSHOT_CHUNK_BYTES: usize = 256 * 1024;
/// Chunks read ahead of the network.
pub const SNAPSHOT_CHUNKS_AHEAD: usize = 4;
/// Files of one snapshot: at 64 MiB a file far more than any ledger needs.
pub const SNAPSHOT_FILES_MAX: usize = 10_000;
/// Members of one cluster. Every entry goes to each; more make writes slower, not safer.
pub const MEMBERS_MAX: usize = 7;
/// Members without a vote, that wait to be promoted or removed: one for each voter that a cluster of five may be about to replace.
pub const LEARNERS_MAX: usize = 4;
/// Log entries that a learner may lack to become a voter: what a leader under full load sends in less than a second, so that the
/// first commit that needs the new voter does not wait longer than for a slow disk.
pub const PROMOTE_LAG_ENTRIES_MAX: u64 = 1_000;
/// A member that has not answered the leader's heartbeats for so long counts as unreachable when the membership changes (and never
/// sooner than an election takes).
pub const MEMBER_HEARD_WITHIN: Duration = Duration::from_secs(1);
/// Characters of a node's address, `host:port`: the longest name of a host has 253.
pub const ADDRESS_CHARS_MAX: usize = 253 + 6;
/// Characters of a cluster's name.
pub const CLUSTER_NAME_CHARS_MAX: usize = 64;
/// Characters of a node's name.
pub const NODE_NAME_CHARS_MAX: usize = 64;
/// Buckets of a histogram in powers of two: the last bound is 2^26, of microseconds more than a minute.
pub const HISTOGRAM_BUCKETS: usize = 28;
/// Upper bounds of the buckets of calls, microseconds. The service levels, 250 ms and 5 s, must be among them.
pub const LATENCY_BOUNDS_US: [u64; 14] =
    [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000];
/// How often the metrics are renewed that are too dear, or too likely to wait, to be asked for at each scrape.
pub const FIGURES_INTERVAL: Duration = Duration::from_secs(10);

/// Bytes of one message on the client and operator ports, either way: a full batch has less than 256 KiB, its answer less than
/// 1 MiB. Also what gRPC libraries read by default.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Printed codes in one answer, 24 bytes each: two orders of the largest size, or a batch of a thousand ordinary ones.
pub const ANSWER_CODES_MAX: u32 = 20_000;
const _: () = assert!(ANSWER_CODES_MAX >= ORDER_QUANTITY_MAX, "the codes of one order must fit into one answer");
/// Codes printed before other calls get their turn on the thread: a fifth of a millisecond.
pub const CODES_PRINTED_AT_ONCE: u32 = 1_000;
/// Bytes of one message between peers: `append_entries_max` full entries of batches still fit.
pub const PEER_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Of a call that names no deadline; also how long one batch of a stream may take.
pub const CALL_DEADLINE_DEFAULT: Duration = Duration::from_secs(5);
/// A call that asks for more waits so long.
pub const CALL_DEADLINE_MAX: Duration = Duration::from_secs(60);
/// The answer is on its way so long before the caller's deadline, but at most an eighth of the deadline: a caller that
/// has given up learns nothing.
pub const CALL_DEADLINE_RESERVE: Duration = Duration::from_millis(10);
/// When to send a call again that was not done.
pub const RETRY_DELAY: Duration = Duration::from_millis(50);
/// The same, of a call that was turned away because too much is waiting.
pub const RETRY_DELAY_OVERLOADED: Duration = Duration::from_millis(250);
/// The same, of a new order that is turned away because the disks are low: room does not come sooner.
pub const RETRY_DELAY_DISK_LOW: Duration = Duration::from_secs(1);
/// The same, of a new order that is turned away unread, each in turn: from a fraction of the time in which those under way are served
/// to twice that time. With one delay for all, portals that heed it left the node idle for a fifth of the time (`make bench`, part
/// `overload`).
pub const NEW_ORDER_RETRY_DELAYS: [Duration; 8] = {
    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }
    // Neighbours far apart: the orders of one portal that are turned away together are told different times.
    [ms(20), ms(132), ms(76), ms(188), ms(48), ms(160), ms(104), ms(216)]
};
/// Batches of one stream that are under way at once; the next is taken in when one is answered.
pub const STREAM_BATCHES_IN_FLIGHT_MAX: usize = 256;
/// Commands of one stream that are under way at once: five full batches keep the log busy, and two such streams fit into
/// `QUEUE_BATCH_COMMANDS_MAX`.
pub const STREAM_COMMANDS_IN_FLIGHT_MAX: usize = 5 * BATCH_COMMANDS_MAX;
/// Calls of one connection that are under way at once; HTTP/2 holds the others back.
pub const CONNECTION_CALLS_MAX: u32 = 1_024;
/// Connections of the client port at once: portals keep a few each; with `PUBLIC_CONNECTION_WINDOW_BYTES` unread of each, 1 GiB.
pub const CLIENT_CONNECTIONS_MAX: usize = 256;
/// Calls of the client port that are under way on a node when one that confirms money comes. What has come of each lies in
/// memory: at `CALL_BYTES_MAX`, 64 MiB.
pub const CALLS_MAX: usize = 8_192;
/// The same, when one on an existing order comes.
pub const CALLS_STAMPING_MAX: usize = 7_168;
/// The same, when a read comes.
pub const CALLS_READ_MAX: usize = 6_144;
/// The same, when a new order, a batch or a stream comes.
pub const CALLS_NEW_ORDER_MAX: usize = 4_096;
/// Batch calls that are under way on a node: at `CLIENT_MESSAGE_BYTES_MAX` each, 256 MiB. A few fill the queue.
pub const BATCH_CALLS_MAX: usize = 64;
/// Streams of batches that are open on a node: one message of each may lie here half.
pub const STREAM_CALLS_MAX: usize = 64;
/// Bytes of a call on the client port that is no batch; all have less than 1 KiB.
pub const CALL_BYTES_MAX: usize = 8 * 1024;
/// How long the body of a call may take, from when it was waited for. As long as a call without a deadline.
pub const CALL_BODY_WITHIN: Duration = CALL_DEADLINE_DEFAULT;
/// Calls of one new order each that are under way on a node; more are turned away unread. The peak needs some 300; and it is well
/// below `CONNECTION_CALLS_MAX`, so that one connection has room for the payments of its orders.
pub const NEW_ORDER_CALLS_MAX: usize = 600;
/// Threads that read the ledger for calls. A point read takes microseconds; two keep one slow read from blocking all.
pub const READ_THREADS: usize = 2;
/// Of those, how many read pages of history for watches and audit exports at once: a page of
/// `AUDIT_PAGE_BYTES` takes far longer than a point read, and with each thread at one, all other reads would wait behind them.
pub const HISTORY_READ_THREADS: usize = 1;
const _: () = assert!(HISTORY_READ_THREADS < READ_THREADS, "one thread must be left for those who ask for one record");
/// Reads waiting for such a thread, and as many that wait before it until this node has caught up; more are turned away.
pub const READS_WAITING_MAX: usize = 4_096;
/// Bytes in flight on one HTTP/2 stream and on one connection, between peers.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// The same of whoever connects to the client and the operators' port: twice four full batches.
pub const PUBLIC_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
pub const PUBLIC_CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// A silent connection is asked for a sign of life after so long, and closed when none comes within the second.
pub const HTTP2_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
pub const HTTP2_KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// To a peer; on one network a connection stands after a millisecond.
pub const PEER_CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// To take one member into a new cluster: a connection and a small write. Shorter than `CLI_ATTEMPT_TIMEOUT`.
pub const JOIN_WITHIN: Duration = Duration::from_secs(2);
/// Between two rounds in which a node asks for an id, or of which cluster the members are.
pub const JOIN_RETRY_PAUSE: Duration = Duration::from_millis(250);
/// Ledger scans and log exports that run at once: a tool runs one of each. Each scan holds one of the 512 blocking threads that
/// reads of the log need too, and a snapshot of the ledger, which keeps old records from being removed.
pub const LONG_ANSWERS_MAX: usize = 8;
/// Records of a scan or an export that are read ahead of the network.
pub const LONG_ANSWER_RECORDS_AHEAD: usize = 64;
/// Readers of events at once: each holds a few answers in memory, but no state of the ledger.
pub const WATCHES_MAX: usize = 16;
/// Log entries that are read ahead of one of them, or of an audit export: of full batches less than 3 MiB.
pub const HISTORY_ENTRIES_AHEAD: usize = 8;
/// How long a reader of events is left in silence.
pub const WATCH_PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// How long one of them waits for its caller to read on: the network may stall, and a caller do something with what it has.
pub const LONG_ANSWER_READ_WITHIN: Duration = Duration::from_secs(30);
/// Bytes of a payment gateway's notice; theirs have two thousand and fewer.
pub const WEBHOOK_BODY_BYTES_MAX: usize = 64 * 1024;
/// Characters of what a notice's answer and its log line say; what they quote of the notice ends there.
pub const WEBHOOK_MESSAGE_CHARS_MAX: usize = 300;
/// From a notice's headers to its answer: gateways want one within five seconds, and two is what they are promised.
pub const WEBHOOK_ANSWER_WITHIN: Duration = Duration::from_millis(1_900);
/// How long Midtrans' GET Status may take: of the time for an answer, what a commit does not need.
pub const MIDTRANS_STATUS_WITHIN: Duration = Duration::from_millis(1_200);
/// Connections of the webhook port at once, one notice each at a time: far more than gateways open, and few of the descriptors.
pub const WEBHOOK_CONNECTIONS_MAX: usize = 512;
/// Connections beyond those that are being told to come again, and how long that may take.
pub const WEBHOOK_TURNED_AWAY_MAX: usize = 512;
pub const WEBHOOK_TURN_AWAY_WITHIN: Duration = Duration::from_secs(1);
/// How long the head of a notice's request may take, and a connection without one stays.
pub const WEBHOOK_HEAD_WITHIN: Duration = Duration::from_secs(5);
/// Pause after a connection that could not be taken.
pub const WEBHOOK_ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Secrets of one gateway that are good at once: the one that goes and the one that comes.
pub const GATEWAY_SECRETS_MAX: usize = 2;
/// Records in one page of a list, each less than 512 bytes: half of an answer.
pub const PAGE_SIZE_MAX: u32 = 1_000;
/// The same, of a call that asks for none.
pub const PAGE_SIZE_DEFAULT: u32 = 100;
/// Records that one page of a list looks at, most of them passed over by a filter: some ten milliseconds of a reading thread; more, if
/// the filter has to look up the order or the refund of each.
pub const LIST_RECORDS_EXAMINED_MAX: usize = 20_000;
/// Lists that are being read page by page at once: each keeps a state of the ledger, and with it old records and files.
pub const LISTS_KEPT_MAX: usize = 16;
/// How long nobody must have read on in a list that has to go for another.
pub const LIST_IDLE_BEFORE_EVICTION: Duration = Duration::from_secs(5);
/// How long such a state is kept after its last page was read.
pub const LIST_KEPT_FOR: Duration = Duration::from_secs(60);
/// Bytes of audit records read at once; one record of a full batch has less than 300 KiB.
pub const AUDIT_PAGE_BYTES: usize = 256 * 1024;
/// Bytes of one line of an audit file: a record in hexadecimal, and told in words.
pub const AUDIT_LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Log entries of an export read at once.
pub const EXPORT_ENTRIES_PAGE: usize = 256;
/// Digests in one answer of `ListDigests`.
pub const DIGESTS_LISTED_MAX: usize = 4_096;
/// How long a command of the CLI waits for a TCP connection to one server.
pub const CLI_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a command of the CLI waits for one server's answer before it asks the next with the same id.
pub const CLI_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two looks whether a new member has joined or caught up.
pub const MEMBER_LOOK_PAUSE: Duration = Duration::from_millis(250);
/// How long a node may take to answer a command that looks at all nodes again and again.
pub const HEALTH_LOOK_WITHIN: Duration = Duration::from_secs(2);
/// Between two looks of a command that waits until the cluster is healthy.
pub const HEALTH_LOOK_PAUSE: Duration = Duration::from_millis(250);
/// How far apart the looks of a command may be that looks again and again.
pub const LOOK_EVERY_MIN: Duration = Duration::from_millis(100);
pub const LOOK_EVERY_MAX: Duration = Duration::from_secs(60 * 60);
/// Between two rounds over all servers.
pub const CLI_RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Committed entries that a node may still have to apply and call itself ready: well below a second's work.
pub const READY_APPLY_LAG_ENTRIES_MAX: u64 = 1_000;
/// One try to hand leadership over at a stop: an election and some.
pub const HAND_OVER_TRY_WITHIN: Duration = Duration::from_millis(500);
/// Between two tries to hand leadership over at a stop.
pub const HAND_OVER_RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How long blocking work may keep the process after everything else has stopped.
pub const RUNTIME_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);
/// Entries and bytes of the log's tail that stay in memory after their sync: seconds of load, so that replication and apply
/// seldom read from disk.
pub const LOG_TAIL_ENTRIES_MAX: usize = 4_096;
pub const LOG_TAIL_BYTES_MAX: usize = 32 << 20;
/// Entries read from disk at once.
pub const LOG_READ_ENTRIES_MAX: u64 = 64;
/// Bytes of entries in one AppendEntries message (one entry may be larger), and of one step of a replay.
pub const APPEND_BYTES_MAX: usize = 1 << 20;
/// How long replication waits for the answer to an AppendEntries message: a stalled disk's sync, not a dead peer.
pub const APPEND_ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Pause before a peer that was unreachable is tried again.
pub const PEER_BACKOFF: Duration = Duration::from_millis(50);
/// For so long a peer's clock is known from what it told last: the clocks of two machines part by a fifth of a second in it, at 50
/// parts per million.
pub const PEER_CLOCK_AGE_MAX: Duration = Duration::from_secs(60 * 60);
/// Entries and commands in one atomic write of the ledger.
pub const APPLY_ENTRIES_MAX: usize = 64;
pub const APPLY_COMMANDS_MAX: usize = 4_000;
/// Commands that wait to be proposed, in all lines, when a confirmation of money comes (`consensus::admission`): a few seconds of full
/// load. A command is less than 300 bytes, so this bounds the memory too; the call that comes may be a full batch beyond it.
pub const QUEUE_COMMANDS_MAX: usize = 50_000;
/// The same, when a command on an existing order comes: half of the room is for money alone.
pub const QUEUE_STAMPING_COMMANDS_MAX: usize = 25_000;
/// The same, when a new order comes: half a second of one order a call, so that those who are let in have time to pay.
pub const QUEUE_NEW_ORDER_COMMANDS_MAX: usize = 12_000;
/// The same, when a batch comes: two full streams.
pub const QUEUE_BATCH_COMMANDS_MAX: usize = 10_000;
/// A node that has heard no leader for so many of the longest waits of an election is cut off: an ordinary election takes two.
pub const CUT_OFF_AFTER_ELECTIONS: u32 = 4;
/// Batches of one class that a node which does not lead has sent to the leader and that are not answered.
pub const FORWARDS_IN_FLIGHT_MAX: usize = 4;
/// How long such a batch waits for its answer: one that does not come is asked for again. A leader that cannot be reached, but
/// is heard, would hold all of them until their callers' deadlines.
pub const FORWARD_ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Pause after a proposal that surely did nothing (no quorum, no connection): an election takes many of these.
pub const PROPOSE_AGAIN_AFTER: Duration = Duration::from_millis(10);
/// Pause between two looks for orders that have expired; the shortest payment window is a second.
pub const EXPIRY_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How long a proposal to expire orders may take.
pub const EXPIRY_PROPOSE_WITHIN: Duration = Duration::from_secs(5);
/// How stale the saved committed position of an idle node may be; under load it goes along with every append.
pub const COMMITTED_SAVE_INTERVAL: Duration = Duration::from_millis(200);
/// How long sending and installing a snapshot may take: gigabytes over a slow link.
pub const SNAPSHOT_INSTALL_WITHIN: Duration = Duration::from_secs(600);
/// Entries that a node may lack when leadership is handed to it: a moment of replication.
pub const TRANSFER_LAG_ENTRIES_MAX: u64 = 100;
/// A log of which something waits to be synced and nothing is, for so long, is on a disk that stalls; so is a ledger to which
/// nothing is applied. Network disks pause for
/// hundreds of milliseconds on good days; three seconds after the last sync the next leader must serve.
pub const DISK_STALL_MAX: Duration = Duration::from_secs(1);
/// Pause between two looks at how far the log is synced, and at whose disk is low.
pub const DISK_LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes that a disk must have free for new orders, unless `node.disk_floor` says otherwise: a snapshot that is being switched and
/// minutes of payments for what is ordered, at full load.
pub const DISK_FLOOR_BYTES_DEFAULT: u64 = 1 << 30;
/// The most that it may say, bytes: more is a slip of the pen.
pub const DISK_FLOOR_BYTES_MAX: u64 = 1 << 40;
/// A disk that was low has room again with this part of its floor above the floor, so that a table file that comes and goes does not
/// turn orders away and let them in by turns.
pub const DISK_FLOOR_MARGIN_PARTS: u64 = 4;
/// Between two looks at the room on the disk: a fast disk takes a quarter of the default floor in no less.
pub const DISK_ROOM_INTERVAL: Duration = Duration::from_millis(250);
/// A leader whose disk is low tries to hand over no more often than this: each try is a pause, and leadership must not go round.
pub const DISK_LOW_HAND_OVER_PAUSE: Duration = Duration::from_secs(5);
/// Pause between two looks at a change that openraft reports nowhere.
pub const WATCH_INTERVAL: Duration = Duration::from_millis(10);
/// Entries in one append to the log.
pub const APPEND_ENTRIES_MERGED_MAX: u64 = 256;
/// How long a follower waits for the leader's answer to one round of reads; several rounds fit into a caller's deadline.
pub const READ_INDEX_WITHIN: Duration = Duration::from_millis(500);
/// Pause before a snapshot that was asked for is asked for again.
pub const SNAPSHOT_TRIGGER_INTERVAL: Duration = Duration::from_millis(200);
/// Between two looks at the readiness checks, for gRPC health.
pub const HEALTH_INTERVAL: Duration = Duration::from_millis(50);
/// Between two looks for series that were opened with another key than this node has: so long after it has
/// applied a series such a node may call genuine codes of it forged.
pub const SERIAL_KEY_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks whether peers have gone or come back, for the log.
pub const PEERS_LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes of the log's newest lines that are kept in memory for a debug bundle: hours of a quiet node.
pub const LOG_LINES_KEPT_BYTES: usize = 1 << 20;
/// Bytes of one of them; ours have a few hundred.
pub const LOG_LINE_KEPT_BYTES_MAX: usize = 16 * 1024;
/// Characters of what the log is told to let through: a level, and a dozen libraries.
pub const LOG_FILTER_CHARS_MAX: usize = 256;
/// How long a node may log otherwise than its configuration says: at `debug` it may write gigabytes a day.
pub const LOG_FILTER_FOR_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of one file of a debug bundle, its end if it is longer: days of RocksDB's own log.
pub const DEBUG_FILE_BYTES_MAX: usize = 2 << 20;
/// Bytes of all files of one node in a debug bundle, as a command takes them: more than a node has.
pub const DEBUG_NODE_BYTES_MAX: usize = 64 << 20;
/// Bytes in one message of a debug bundle.
pub const DEBUG_CHUNK_BYTES: usize = 256 * 1024;
/// Messages of a debug bundle that are made ahead of the network.
pub const DEBUG_CHUNKS_AHEAD: usize = 4;
/// Debug bundles that a node makes at once.
pub const DEBUG_BUNDLES_MAX: usize = 2;
/// How far apart the two pages of metrics of a debug bundle may be: an orderly stop may have to wait as long.
pub const DEBUG_METRICS_APART_MAX: Duration = Duration::from_secs(5);
/// Names in one listing of a debug bundle.
pub const DEBUG_NAMES_MAX: usize = 2_000;
/// Digests in a debug bundle: the newest, to compare with those of the other nodes.
pub const DEBUG_DIGESTS_MAX: usize = 200;
