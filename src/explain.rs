//! What every stage would say to one message.
