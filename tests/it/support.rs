//! What the tests share.

pub(crate) mod child;
pub(crate) mod cloud;
pub(crate) mod dynamodb;
pub(crate) mod dynamodb_proxy;
pub(crate) mod kinesis;
pub(crate) mod local;
pub(crate) mod node;
pub(crate) mod one_message;
pub(crate) mod program;
pub(crate) mod python;
pub(crate) mod queues;
pub(crate) mod s3;
pub(crate) mod s3_proxy;
pub(crate) mod scripted;
pub(crate) mod tools;
pub(crate) mod valkey;
