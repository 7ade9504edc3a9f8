# The four programs in one image: quittance, command-api, projectors, query-api. Whoever runs it names the
# program (docker-compose.yml); it holds no secret and no setting.

# The manifests, with empty programs: what the dependencies are built from. A change of code leaves this as
# it was, and the layer with the built dependencies with it.
FROM rust:1.95-bookworm AS manifests
WORKDIR /src
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock -delete \
    && for member in $(dirname */Cargo.toml); do \
        mkdir -p "$member/src" \
        && echo '//! Empty.' > "$member/src/lib.rs" \
        && printf '//! Empty.\nfn main() {}\n' > "$member/src/main.rs"; \
    done

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY --from=manifests /src .
RUN cargo build --locked --release -p quittance -p command-api -p projectors -p query-api
COPY . .
# Cargo goes by the time of a file, and the code may be older than the empty programs.
RUN find . -path ./target -prune -o -name '*.rs' -exec touch {} + \
    && cargo build --locked --release -p quittance -p command-api -p projectors -p query-api

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="Quittance" \
      org.opencontainers.image.description="A payment ledger: command API, projectors, query API and tools" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin quittance
COPY --from=build /src/target/release/quittance /src/target/release/command-api \
     /src/target/release/projectors /src/target/release/query-api /usr/local/bin/
USER 10001:10001
STOPSIGNAL SIGTERM
