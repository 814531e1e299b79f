//! S3 objects.
mod frames;
mod inflate;
