//! S3 as ministack serves it, a server that we did not write: buckets, objects, and notifications to its own SQS.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::{
    Client,
    config::{Credentials, SharedCredentialsProvider},
    primitives::ByteStream,
    types::{CreateBucketConfiguration, Event, NotificationConfiguration, QueueConfiguration},
};
use tributary::aws::Aws;

use super::queues::{Kind, QueueServer};

/// The account of every queue there.
const ACCOUNT: &str = "000000000000";

/// The server, and a name for a bucket that no other test has.
pub(crate) struct S3 {
    pub(crate) server: QueueServer,
    pub(crate) name: String,
}

impl S3 {
    pub(crate) async fn start(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        Self { server: QueueServer::start(Kind::Ministack).await, name }
    }

    pub(crate) async fn with_bucket(name: &str) -> Self {
        let s3 = Self::start(name).await;
        s3.make().await;
        s3
    }

    pub(crate) async fn make(&self) {
        self.client().create_bucket().bucket(&self.name).send().await.expect("a new bucket");
    }

    /// In another Region than the client's.
    pub(crate) async fn make_in(&self, region: &str) {
        let place = CreateBucketConfiguration::builder().location_constraint(region.into()).build();
        let config = aws_sdk_s3::config::Builder::new().region(Region::new(region.to_owned()));
        let call = self.client().create_bucket().bucket(&self.name).create_bucket_configuration(place);
        call.customize().config_override(config).send().await.expect("a new bucket");
    }

    /// As it is reached at `url`: there, or through something in between.
    pub(crate) fn aws_at(url: &str) -> Aws {
        config(url).into()
    }

    pub(crate) fn aws(&self) -> Aws {
        Self::aws_at(&self.server.url())
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&config(&self.server.url()))
    }

    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let ours = [
            ("AWS_ENDPOINT_URL_S3", self.server.url()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ];
        ours.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    pub(crate) async fn keys(&self) -> Vec<String> {
        let listed = self.client().list_objects_v2().bucket(&self.name).send().await.expect("a listing");
        listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
    }

    pub(crate) async fn read(&self, key: &str) -> Vec<u8> {
        let got = self.client().get_object().bucket(&self.name).key(key).send().await.expect("an object");
        got.body.collect().await.expect("its bytes").to_vec()
    }

    pub(crate) async fn write(&self, key: &str, bytes: Vec<u8>) {
        self.write_in("us-east-1", key, bytes).await;
    }

    /// To a bucket of this Region.
    pub(crate) async fn write_in(&self, region: &str, key: &str, bytes: Vec<u8>) {
        let config = aws_sdk_s3::config::Builder::new().region(Region::new(region.to_owned()));
        let call = self.client().put_object().bucket(&self.name).key(key).body(ByteStream::from(bytes));
        call.customize().config_override(config).send().await.expect("written, also over what is there");
    }

    pub(crate) async fn delete(&self, key: &str) {
        self.client().delete_object().bucket(&self.name).key(key).send().await.expect("removed");
    }

    /// From now on every new object is announced on this queue of the same server.
    pub(crate) async fn notify(&self, queue_url: &str) {
        let name = queue_url.rsplit('/').next().expect("a queue's name");
        let queue = QueueConfiguration::builder()
            .queue_arn(format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"))
            .events(Event::from("s3:ObjectCreated:*"))
            .build()
            .expect("a queue and its events");
        let all = NotificationConfiguration::builder().queue_configurations(queue).build();
        let call = self.client().put_bucket_notification_configuration().bucket(&self.name);
        call.notification_configuration(all).send().await.expect("notifications");
    }
}

fn config(url: &str) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "tests");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(url)
        .build()
}
