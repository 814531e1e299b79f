//! `tributary local`: a queue and a lake until Ctrl-C or SIGTERM, and the variables that point clients at them.

use serde_json::json;

use crate::{
    cli::{FaultArgs, LocalArgs},
    command::{CommandError, Exit, run::Signals},
    local::{ACCOUNT, ChannelSpec, Faults, Local, LocalError, LocalOptions, start},
    output,
};

/// Serves until told to stop.
///
/// # Errors
/// An address is taken, an option makes no sense, or the folder cannot be used.
pub async fn local(args: LocalArgs) -> Result<Exit, CommandError> {
    let variables = Variables::of(&args);
    let json = args.json;
    let mut signals = Signals::new().map_err(CommandError::failed)?;
    let mut local = start(options(args)).await?;
    if json {
        output::print_json(&variables.as_json(&local))?;
    } else {
        output::print(variables.as_shell(&local))?;
    }
    tokio::select! {
        () = signals.next() => {}
        // Never by itself: a panic of one of its tasks is raised here.
        () = local.ended() => return Err(CommandError::Failed("the local endpoints ended".into())),
    }
    local.stop().await;
    Ok(Exit::Done)
}

fn options(args: LocalArgs) -> LocalOptions {
    let external_id = args.external_id;
    let channel = |arn| ChannelSpec { arn, external_id: external_id.clone() };
    LocalOptions {
        sqs_addr: args.sqs_listen,
        lake_addr: args.lake_listen,
        region: args.region,
        channels: args.channel_arn.into_iter().map(channel).collect(),
        faults: faults(args.faults),
        dir: args.dir,
        ..LocalOptions::default()
    }
}

fn faults(args: FaultArgs) -> Faults {
    Faults {
        seed: args.seed,
        channel: None,
        down: args.down,
        refuse: args.refuse,
        throttle_per_second: args.throttle,
        error_share: args.error_share,
        error_status: args.error_status,
        fail_share: args.fail_share,
        fail_code: args.fail_code,
        forget_share: args.forget_share,
        drop_reply_share: args.drop_reply_share,
        delay_ms: args.late_ms,
    }
}

/// What a client needs to know, beside the addresses.
struct Variables {
    region: String,
    channel_arn: String,
    asks_for_external_id: bool,
}

impl Variables {
    fn of(args: &LocalArgs) -> Self {
        let region = args.region.clone();
        let any = || format!("arn:aws:cloudtrail:{region}:{ACCOUNT}:channel/local");
        Self {
            channel_arn: args.channel_arn.first().cloned().unwrap_or_else(any),
            asks_for_external_id: args.external_id.is_some(),
            region,
        }
    }

    /// Names and values. The external id is not among them: it is treated as a secret.
    fn list(&self, local: &Local) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL_SQS", local.sqs_url()),
            ("AWS_ENDPOINT_URL_CLOUDTRAIL_DATA", local.lake_url()),
            ("AWS_REGION", self.region.clone()),
            ("AWS_DEFAULT_REGION", self.region.clone()),
            ("AWS_ACCESS_KEY_ID", "local".into()),
            ("AWS_SECRET_ACCESS_KEY", "local".into()),
            ("TRIBUTARY_SOURCE_QUEUE_URL", local.queue_url("events")),
            ("TRIBUTARY_DEAD_LETTER_QUEUE_URL", local.queue_url("events-dlq")),
            ("TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN", self.channel_arn.clone()),
            ("TRIBUTARY_LAKE_URL", local.lake_url()),
        ]
    }

    fn as_json(&self, local: &Local) -> serde_json::Value {
        let environment: serde_json::Map<_, _> =
            self.list(local).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        json!({ "sqs_url": local.sqs_url(), "lake_url": local.lake_url(), "environment": environment })
    }

    /// Text that a shell can read as it is.
    fn as_shell(&self, local: &Local) -> String {
        let mut lines = vec![
            "# A queue and a lake are served until Ctrl-C. In another terminal, point the AWS CLI, any AWS SDK".into(),
            "# and `tributary run` at them:".into(),
        ];
        lines.extend(self.list(local).into_iter().map(|(name, value)| format!("export {name}={value}")));
        if self.asks_for_external_id {
            lines.push(
                "# and TRIBUTARY_DESTINATIONS_LAKE_EXTERNAL_ID, to the external id that you chose".into(),
            );
        }
        lines.push("# Then try:  tributary run,  tributary enqueue FILE,  tributary lake count".into());
        lines.join("\n")
    }
}

impl From<LocalError> for CommandError {
    fn from(error: LocalError) -> Self {
        match error {
            LocalError::Listen { .. } | LocalError::Disk(_) => Self::Failed(Box::new(error)),
            LocalError::ChannelArn(_)
            | LocalError::ExternalId(_)
            | LocalError::Queue { .. }
            | LocalError::Faults(_) => Self::Usage(error.to_string()),
        }
    }
}
