# The image of the service: one binary, its health check, the libraries that both are linked to, and the authorities
# that AWS's certificates are checked against. No shell, no package manager, no root, nothing to write.
#
#   docker build --tag tributary .
#   docker run --read-only --cap-drop all --env TRIBUTARY_SOURCE_QUEUE_URL=… tributary
#
# For both architectures: docker buildx build --platform linux/arm64,linux/amd64 …
#
# The versions of all that is built with are arguments; the lock file has those of all that is built in. The times of
# files are not the build's own with SOURCE_DATE_EPOCH (BuildKit: --output type=image,rewrite-timestamp=true) or
# --timestamp 0 (Podman).
#
# The compiler is at least the `rust-version` of Cargo.toml.
ARG RUST_VERSION=1.95.0
ARG DEBIAN=bookworm

FROM rust:${RUST_VERSION}-slim-${DEBIAN} AS build
ARG CYCLONEDX_VERSION=0.5.9
ARG SOURCE_DATE_EPOCH=0
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /build
# Writes the list of what is built in. Unoptimised: it runs for a second. Before the sources, so that it is made once.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo install cargo-cyclonedx --version "${CYCLONEDX_VERSION}" --locked --debug --root /tools
COPY . .
# The caches survive between builds on one machine, so that a change to a comment does not compile the AWS SDK
# again. They are not part of a layer: the binary has to leave the cached folder within the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin tributary \
    && install -D target/release/tributary /image/usr/local/bin/tributary
RUN rustc --edition 2024 -C opt-level=s -C panic=abort -C lto -C strip=symbols \
    infra/image/health.rs -o /image/usr/local/bin/health
# What scanners read: the crates (CycloneDX), and the Debian packages that the libraries are from.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH}" /tools/bin/cargo-cyclonedx cyclonedx --format json --spec-version 1.5 \
    --describe binaries --no-build-deps \
    && install -D -m 644 tributary_bin.cdx.json /image/usr/share/sbom/tributary.cdx.json \
    && install -D -m 644 LICENSE /image/usr/share/doc/tributary/LICENSE \
    && mkdir -p /image/var/lib/dpkg/status.d \
    && for package in libc6 libgcc-s1 ca-certificates; do \
    dpkg-query --status "$package" > "/image/var/lib/dpkg/status.d/$package"; \
    done
# Linked libraries, wherever this architecture has them; names are looked up in files first, then asked for.
RUN ldd /image/usr/local/bin/tributary | grep --only-matching '/[^ ]*' | sort --unique \
    | while read -r library; do install -D "$library" "/image$library"; done \
    && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
    && echo 'hosts: files dns' > /image/etc/nsswitch.conf

FROM scratch
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tributary" \
      org.opencontainers.image.description="Carries audit events from a queue into AWS CloudTrail Lake" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image /
# A number, because orchestrators that insist on "not root" cannot look a name up. It owns no file: nothing is
# written to disk, so the root file system can be mounted read-only.
USER 65532:65532
# /livez, /readyz and /metrics: the default of `service.listen`.
EXPOSE 9464
# The signal that starts the drain. Give it longer than `service.drain_timeout` before the kill.
STOPSIGNAL SIGTERM
# Alive, not ready: a worker that is paused is not cured by another. For `run`; switch it off for other commands.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/health"]
ENTRYPOINT ["/usr/local/bin/tributary"]
CMD ["run"]
