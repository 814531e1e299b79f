//! The command line: what can be asked for. In: arguments and a few environment variables. Out: a [`Command`].

use clap::{Parser, Subcommand};

mod args;

pub use args::{
    ALL, BackfillArgs, CheckArgs, CheckpointArgs, CheckpointQuestion, ConfigFile, DemoArgs, DlqArgs,
    DlqQuestion, EnqueueArgs, ExplainArgs, ExportArgs, FaultArgs, ForgetArgs, FormatsArgs, FormatsFolder,
    FormatsQuestion, History, LakeArgs, LakeQuestion, LeasesArgs, LeasesQuestion, LedgerArgs, LedgerQuestion,
    ListArgs, LocalArgs, OversizeName, Point, PurgeArgs, ReconcileArgs, RedriveArgs, RunArgs, SetArgs,
    ShowArgs, TraceArgs, VerifyArgs, WhichArgs,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed while running
  2  wrong usage or configuration; nothing was started
  3  finished, but something was not delivered, not accepted or not found";

const NEXT: &str = "\
Try next:
  tributary demo                      watch events travel the whole way, on this machine alone
  tributary local                     a queue and a lake on this machine, for your own tests
  tributary check --print-reference   every configuration key, explained";

/// Carries audit events from a queue or a stream into AWS CloudTrail Lake, and loses none of them.
#[derive(Debug, Parser)]
#[command(
    name = "tributary",
    version,
    about,
    long_about = "\
Carries audit events from a queue or a stream into AWS CloudTrail Lake, and loses none of them.

Events are received from SQS or Kinesis, deduplicated by id, mapped to the lake's schema, validated, checksummed, batched and \
published with PutAuditEvents. What can never be published goes to a dead-letter queue with the reason.

Example: tributary demo",
    after_help = format!("{EXIT_CODES}\n\n{NEXT}"),
    disable_help_subcommand = true,
    max_term_width = 110
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service until SIGTERM or Ctrl-C
    #[command(
        long_about = "\
Run the service until SIGTERM or Ctrl-C, then drain: stop receiving, finish what is under way, return the rest to \
the queue.

Credentials, Region and endpoints are found in the AWS SDK's own ways. Health and metrics are served at \
service.listen: /livez, /readyz, /metrics.

Example: tributary run --config tributary.toml
Example: TRIBUTARY_SOURCE_QUEUE_URL=… TRIBUTARY_DEAD_LETTER_QUEUE_URL=… \
TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN=… tributary run",
        after_help = EXIT_CODES
    )]
    Run(RunArgs),

    /// Watch events travel the whole way, on this machine alone
    #[command(
        long_about = "\
Start a local queue, a local lake, the service and a producer in one process; send good, bad and duplicate events; \
end with an account of every single one. Needs no AWS account.

Example: tributary demo
Example: tributary demo --workers 4
Example: tributary demo --events 1000000 --json",
        after_help = EXIT_CODES
    )]
    Demo(DemoArgs),

    /// Serve a queue and a lake on this machine, for tests
    #[command(
        long_about = "\
Serve an SQS-compatible queue and a PutAuditEvents-compatible lake until Ctrl-C or SIGTERM. The lake enforces the \
documented limits and error codes, and misbehaves on request. Any AWS SDK or the AWS CLI can be pointed at both; \
the variables to set are printed.

Example: tributary local
Example: tributary local --dir ./local --channel-arn \
arn:aws:cloudtrail:us-east-1:111122223333:channel/audit --external-id my-secret
Example: tributary local --throttle 5 --fail-share 0.1 --fail-code Throttling --late-ms 200",
        after_help = EXIT_CODES
    )]
    Local(LocalArgs),

    /// Check the configuration, offline
    #[command(
        long_about = "\
Check the configuration without calling anything: every problem at once, each with its key, where it was written, \
and the cure.

Example: tributary check --config tributary.toml
Example: tributary check --show
Example: tributary check --print-reference > tributary.toml",
        after_help = EXIT_CODES
    )]
    Check(CheckArgs),

    /// Tell what would become of one message
    #[command(
        long_about = "\
Take one message through every stage without sending anything, and tell for each event in it: format, id, the event \
data as the lake would get it, size, checksum, verdict, and every rule that changed something.

With a configuration the answer is that of `run`: its formats, route, redaction and account hold. Without one, every \
format of the program is known and every event is wanted.

Example: tributary explain event.json
Example: tributary explain event.json --config tributary.toml --destination lake
Example: pbpaste | tributary explain - --json",
        after_help = EXIT_CODES
    )]
    Explain(ExplainArgs),

    /// List, print or test the formats that events can be in
    #[command(
        long_about = "\
List the formats that events can be in, print how one is written, or run golden cases against them. A format of your \
own is a file NAME.jq in a folder; docs/formats.md tells how to write one.

Example: tributary formats
Example: tributary formats print snyk
Example: tributary formats test ./cases --formats ./formats",
        after_help = EXIT_CODES
    )]
    Formats(FormatsArgs),

    /// Send events from files or stdin to a queue or a stream
    #[command(
        long_about = "\
Cut files into events and send them to a queue, or to a Kinesis stream, one event to a record. A file may hold NDJSON, a JSON array, one JSON object, or a \
CloudTrail log file ({\"Records\": […]}), of any size. What cannot be cut out is sent as it is: the service \
dead-letters it with the reason. Whatever could not be sent is named on stderr by file and line.

Example: tributary enqueue --config tributary.toml events.ndjson
Example: gunzip -c AWSLogs/*.json.gz | tributary enqueue - --queue-url \
http://127.0.0.1:9324/000000000000/events
Example: tributary enqueue --stream audit-events events.ndjson",
        after_help = EXIT_CODES
    )]
    Enqueue(EnqueueArgs),

    /// Send history from S3 or a folder to a queue
    #[command(
        long_about = "\
Send history to a queue, the way that everything else comes. Of a bucket, every object under the prefix is named in a \
message, and the workers fetch it; digests and insights of CloudTrail are passed over. Of a folder, files are cut into \
events as by `enqueue`, compressed or not.

A checkpoint remembers how far SQS has confirmed. Stopped or killed, the same command goes on there; what was under way \
may be sent again, and the ledger recognises it.

Example: tributary backfill s3://my-trail/AWSLogs/ --since 2026-01-01 --until 2026-01-31 --dry-run
Example: tributary backfill s3://my-trail/AWSLogs/ --config tributary.toml
Example: tributary backfill ./logs --queue-url http://127.0.0.1:9324/000000000000/events",
        after_help = EXIT_CODES
    )]
    Backfill(BackfillArgs),

    /// Look into the dead-letter queue, and send its letters back
    #[command(
        long_about = "\
Look into the dead-letter queue, send its letters back once their cause is cured, export them, or delete them. Works on \
letters that this service wrote, and on messages that the source queue's own redrive policy moved there.

SQS shows a message only to whoever receives it. So while a command looks, the letters that it has seen are hidden from \
others; at its end it gives them back. Each look raises their receive count by one. A command that is killed leaves \
them hidden for --hide-for at most, and nothing is lost: what it sends is sent before it is deleted.

A round: what is there (stats), what is wrong with one of them and what would cure it (show), the cure, and back (redrive).

Example: tributary dlq stats --config tributary.toml
Example: tributary dlq ls --reason no_route --since 2026-01-31T00:00:00Z
Example: tributary dlq show d44c481f-edb8-4aa6-91a3-5679baa2871f
Example: tributary dlq redrive --reason no_route --dry-run
Example: tributary dlq redrive --reason no_route --rate 20
Example: tributary dlq export --to letters.ndjson
Example: tributary dlq purge --reason no_events",
        after_help = EXIT_CODES
    )]
    Dlq(DlqArgs),

    /// Tell what became of one event
    #[command(
        long_about = "\
Ask the shared ledger what became of an event, for each destination: published (under which name of the lake's, with \
which SHA-256, when, by which worker), in progress (by whom, until when), dead-lettered (why), or never seen. The \
SHA-256 is of the event as it came. Exits with 0 only if every destination has it.

Example: tributary trace d44c481f-edb8-4aa6-91a3-5679baa2871f --config tributary.toml
Example: tributary trace \"$ID\" --json",
        after_help = EXIT_CODES
    )]
    Trace(TraceArgs),

    /// Look into the shared ledger, or make it forget
    #[command(
        long_about = "\
Look into the ledger that the workers share (ledger.kind other than \"memory\"), or make it forget one id.

Example: tributary ledger stats --config tributary.toml
Example: tributary ledger get d44c481f-edb8-4aa6-91a3-5679baa2871f
Example: tributary ledger forget d44c481f-edb8-4aa6-91a3-5679baa2871f --reason 'CHG-1234: send it again'",
        after_help = EXIT_CODES
    )]
    Ledger(LedgerArgs),

    /// List who reads which shard of the stream, or change that
    #[command(
        long_about = "\
List the leases of a stream (stream.arn): for each shard whether it is held, free, done or waits for its parents, by whom \
it is held, and how far it is done; then how many leases each worker holds. Or ask a worker to leave a shard.

Exit code 0: each shard whose turn has come is held. 3: one is free, or with --alive, held by a worker that is dead; or \
there are no leases.

Example: tributary leases --config tributary.toml
Example: tributary leases --alive --lag
Example: tributary leases release shardId-000000000003
Example: tributary leases move shardId-000000000003 --to worker-2/1a2b3c4d",
        args_conflicts_with_subcommands = true,
        after_help = EXIT_CODES
    )]
    Leases(LeasesArgs),

    /// Show how far the shards of the stream are done, or set where to go on
    #[command(
        long_about = "\
Show how far each shard of a stream (stream.arn) is done, or set where to go on: to read again what was lost after it was \
published, or to skip what nobody needs.

Example: tributary checkpoint show --config tributary.toml
Example: tributary checkpoint set all 2026-01-02T03:04:05Z --reason 'CHG-1234: the lake lost a day'
Example: tributary checkpoint set shardId-000000000003 LATEST --reason 'CHG-1235' --yes",
        after_help = EXIT_CODES
    )]
    Checkpoint(CheckpointArgs),

    /// Look into a local lake
    #[command(
        long_about = "\
Look into the lake of `tributary local` (or of `tributary demo --keep`).

Example: tributary lake count
Example: tributary lake list --limit 5 --name ConsoleLogin",
        after_help = EXIT_CODES
    )]
    Lake(LakeArgs),

    /// Check a publish log: was any line of it changed?
    #[command(
        long_about = "\
Check a publish log end to end: each line carries the hash of the line before, and each segment that of the segment \
before. Names the first line of each chain that was changed, removed or inserted by somebody who did not compute anew \
what follows it. Whoever did, or added lines, segments or chains, or cut off an end, or took a chain away, is caught \
only by a hash that is kept elsewhere, or kept out by object lock: workers log the hash of each segment's last line. \
Give the last one of each chain as --head.

Exit code 0: intact. 3: not intact, or nothing there.

Example: tributary verify /var/lib/tributary/log
Example: tributary verify s3://audit-proof/tributary --head \
3f0a4c7be25d1d1c2c55ba2fd9a2f6a0a6ce7ef3e0f7d36f04a8a7ec6bd2d1c5",
        after_help = EXIT_CODES
    )]
    Verify(VerifyArgs),

    /// Compare a publish log with what a lake holds
    #[command(
        long_about = "\
Compare the events that a publish log says were accepted in a window of time with what the lake holds, and list the \
UIDs that are missing in the lake, that are in it more than once, and that are in it but not in the log. The log is \
checked as it is read.

CloudTrail Lake is searched with SQL, within the event times that the log has; it charges for what it scans, and \
shows events some minutes after it accepted them.

Exit code 0: nothing is missing or doubled. 3: something is, or the log is not intact, or no record is in the window.

Example: tributary reconcile --log ./log --from 2026-01-05T12:00:00Z --to 2026-01-05T13:00:00Z
Example: tributary reconcile --log s3://audit-proof/tributary --from 2026-01-05T00:00:00Z --to 2026-01-06T00:00:00Z \
--event-data-store arn:aws:cloudtrail:eu-west-1:111122223333:eventdatastore/1a2b3c4d-0000-4000-8000-000000000000",
        after_help = EXIT_CODES
    )]
    Reconcile(ReconcileArgs),

    /// Print a completion script for a shell
    #[command(
        long_about = "\
Print a completion script for a shell.

Example: tributary completions bash > ~/.local/share/bash-completion/completions/tributary
Example: tributary completions zsh > ~/.zfunc/_tributary",
        after_help = EXIT_CODES
    )]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_variable_of_the_command_line_is_taken_for_a_key() {
        for variable in ["TRIBUTARY_CONFIG", "TRIBUTARY_LAKE_URL", "TRIBUTARY_LOCAL_EXTERNAL_ID"] {
            let variables = [(variable.to_owned(), "x".to_owned())];
            let raw = crate::config::RawConfig::read(None, variables);
            assert!(raw.problems().is_empty(), "{variable}");
        }
    }
}
