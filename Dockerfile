# The image of the service: one binary on a small Debian, without root, with nothing to write.
#
#   docker build -t tributary .
#   docker run --read-only --cap-drop all -e TRIBUTARY_SOURCE_QUEUE_URL=… tributary
#
# The compiler is at least the `rust-version` of Cargo.toml, and its Debian is the one the binary will run on:
# a newer C library in the first stage would make a binary that the second cannot start.
ARG RUST_VERSION=1.95.0

FROM rust:${RUST_VERSION}-slim-bookworm AS build
WORKDIR /build
COPY . .
# The caches survive between builds on one machine, so that a change to a comment does not compile the AWS SDK
# again. They are not part of a layer: the binary has to leave the cached folder within the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin tributary \
    && cp target/release/tributary /tributary

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="tributary" \
      org.opencontainers.image.description="Carries audit events from a queue into AWS CloudTrail Lake" \
      org.opencontainers.image.licenses="Apache-2.0"
# The roots come from the first stage, so that building this one needs no package index.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /tributary /usr/local/bin/tributary
# A number, because orchestrators that insist on "not root" cannot look a name up. It owns no file: nothing is
# written to disk, so the root file system can be mounted read-only.
USER 65532:65532
# /livez, /readyz and /metrics: the default of `service.listen`.
EXPOSE 9464
# The signal that starts the drain. Give it longer than `service.drain_timeout` before the kill.
STOPSIGNAL SIGTERM
# No HEALTHCHECK: the same image also runs `local` and `demo`, which are healthy in other ways. Orchestrators ask
# /livez; infra/cloudformation/service.yaml shows how without curl.
ENTRYPOINT ["/usr/local/bin/tributary"]
CMD ["run"]
