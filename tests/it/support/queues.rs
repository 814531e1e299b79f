//! The SQS servers that the suites of the seams run against: ours, and two that we did not write.
//!
//! Why these two: fauxqs is fast, takes FIFO queues and hands out one message of a group at a time; ministack refuses
//! what SQS refuses (empty bodies, characters outside of XML, old receipt handles), hands out whole groups, and says a
//! deleted message's handle is invalid. moto, the better known one, takes all of that without a word.

use std::{
    collections::HashMap,
    fmt,
    process::Command,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_sdk_sqs::{
    Client,
    types::{MessageSystemAttributeName, QueueAttributeName},
};
use tributary::{aws::Aws, local::Local};

use super::{
    child, local, node,
    python::{self, environment_with},
};

/// The last version for Node 20: 2.x needs a newer one.
const FAUXQS: &str = "fauxqs@1.9.2";
const MINISTACK: &str = "ministack==1.5.33";

static NEXT_QUEUE: AtomicUsize = AtomicUsize::new(0);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `tributary local`.
    Local,
    /// Node.
    Fauxqs,
    /// Python.
    Ministack,
}

enum Keeps {
    Local(Local),
    Child(Arc<child::Server>),
}

/// A running server; its name is its `Display`.
pub(crate) struct QueueServer {
    kind: Kind,
    keeps: Keeps,
}

impl fmt::Display for QueueServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {:?}", self.kind)
    }
}

static FAUXQS_CHILD: child::Shared = Mutex::new(Weak::new());
static MINISTACK_CHILD: child::Shared = Mutex::new(Weak::new());

fn start_fauxqs() -> Keeps {
    Keeps::Child(child::shared(&FAUXQS_CHILD, FAUXQS, || {
        let modules = node::modules("fauxqs", &[FAUXQS]);
        let mut command = node::command("fauxqs.mjs");
        command.arg(modules);
        command
    }))
}

fn start_ministack() -> Keeps {
    Keeps::Child(child::shared(&MINISTACK_CHILD, MINISTACK, || {
        let folder = environment_with("ministack", &[MINISTACK]);
        let mut command = Command::new(folder.join("bin/python"));
        command.arg(python::program("ministack_server.py")).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }))
}

impl QueueServer {
    /// Starts it, or joins the tests that use it already.
    pub(crate) async fn start(kind: Kind) -> Self {
        let keeps = match kind {
            Kind::Local => Keeps::Local(local::start(local::options()).await),
            Kind::Fauxqs => tokio::task::spawn_blocking(start_fauxqs).await.expect("fauxqs starts"),
            Kind::Ministack => tokio::task::spawn_blocking(start_ministack).await.expect("ministack starts"),
        };
        Self { kind, keeps }
    }

    /// One more owner of a server in a process of its own.
    pub(crate) fn share(&self) -> Self {
        match &self.keeps {
            Keeps::Child(child) => Self { kind: self.kind, keeps: Keeps::Child(child.clone()) },
            Keeps::Local(_) => panic!("{self} has one owner"),
        }
    }

    pub(crate) fn url(&self) -> String {
        match &self.keeps {
            Keeps::Local(local) => local.sqs_url(),
            Keeps::Child(child) => child.url(),
        }
    }

    /// A character beyond the first plane, which SQS carries; fauxqs takes its two halves for invalid characters.
    pub(crate) fn beyond_first_plane(&self) -> &'static str {
        if self.kind == Kind::Fauxqs { "" } else { "😀" }
    }

    /// As the program reaches it.
    pub(crate) fn aws(&self) -> Aws {
        Aws::local(&self.url(), &self.url())
    }

    /// Another client than the one under test.
    pub(crate) fn client(&self) -> Client {
        local::sqs_client_at(&self.url())
    }

    /// A new queue of its own for each test, with these attributes; its URL.
    pub(crate) async fn queue(&self, attributes: &[(QueueAttributeName, &str)]) -> String {
        self.named_queue("", attributes).await
    }

    /// A new FIFO queue.
    pub(crate) async fn fifo_queue(&self) -> String {
        self.named_queue(".fifo", &[(QueueAttributeName::FifoQueue, "true")]).await
    }

    async fn named_queue(&self, suffix: &str, attributes: &[(QueueAttributeName, &str)]) -> String {
        let number = NEXT_QUEUE.fetch_add(1, Ordering::Relaxed);
        let attributes: HashMap<_, _> =
            attributes.iter().map(|(name, value)| (name.clone(), (*value).to_owned())).collect();
        let name = format!("seam-{}-{number}{suffix}", std::process::id());
        let made =
            self.client().create_queue().queue_name(name).set_attributes(Some(attributes)).send().await;
        made.unwrap_or_else(|error| panic!("{self}: no queue: {error:?}"))
            .queue_url
            .expect("a queue has a URL")
    }

    /// How many messages the queue holds, hidden ones included.
    pub(crate) async fn count(&self, url: &str) -> usize {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let answer = self.client().get_queue_attributes().queue_url(url);
        let answer = answer.set_attribute_names(Some(names.to_vec())).send().await;
        let shown = answer.unwrap_or_else(|error| panic!("{self}: {error:?}")).attributes.unwrap_or_default();
        names.iter().filter_map(|name| shown.get(name)?.parse::<usize>().ok()).sum()
    }

    /// A plain receive with everything that the server tells, hidden for `visibility` seconds.
    pub(crate) async fn receive(
        &self,
        url: &str,
        wait: i32,
        visibility: i32,
    ) -> Vec<aws_sdk_sqs::types::Message> {
        let received = self
            .client()
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(10)
            .wait_time_seconds(wait)
            .visibility_timeout(visibility)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
            .await;
        received.unwrap_or_else(|error| panic!("{self}: {error:?}")).messages.unwrap_or_default()
    }
}

/// Makes one test of each case on each server: `on_servers! { local = Local, fauxqs = Fauxqs: case, case }`.
macro_rules! on_servers {
    ($name:ident = $kind:ident: $($case:ident),+ $(,)?) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    use crate::support::queues::{Kind, QueueServer};
                    super::$case(&QueueServer::start(Kind::$kind).await).await;
                }
            )+
        }
    };
}

pub(crate) use on_servers;
