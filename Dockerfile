# Dockway's server (and agent) in a container; deploy/compose.yaml runs it, README.md ("In a container") explains it.
#
#   docker build -t dockway .                      compiles it
#   docker build -t dockway --target prebuilt .    takes target/release/dockway, made on Debian bookworm or older
#
# Where these two cannot be pulled, name others: --build-arg BASE=dockway/debian-base:bookworm (images/build makes it).
ARG RUST=rust:1-bookworm
ARG BASE=debian:bookworm-slim

FROM $BASE AS runtime
# Certificates are for sign-in providers and for agents behind HTTPS. The user has a number that hosts seldom use.
RUN apt-get -qq update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
    && groupadd --gid 10001 dockway \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin dockway \
    && install -d -m 700 -o dockway -g dockway /data
COPY LICENSE /usr/share/doc/dockway/LICENSE
LABEL org.opencontainers.image.title="Dockway" \
    org.opencontainers.image.description="Container desktops and TCP tunnels behind one door" \
    org.opencontainers.image.licenses="Apache-2.0"
# In a container 127.0.0.1 is nobody else's, and desktops are reached at their own addresses, without ports of the host.
ENV DOCKWAY_LISTEN=0.0.0.0:8080 DOCKWAY_DATA_DIR=/data DOCKWAY_DESKTOP_REACH=network
VOLUME /data
EXPOSE 8080
USER dockway
WORKDIR /data
# By bash alone: the image has no HTTP client.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/${DOCKWAY_LISTEN##*:} && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 \
    && read -r status <&3 && [[ $status == *' 200 '* ]]"]
# It stops in order on SIGTERM, which takes up to DOCKWAY_DRAIN: give it more than Docker's 10 s.
STOPSIGNAL SIGTERM
ENTRYPOINT ["dockway"]
CMD ["serve"]

FROM runtime AS prebuilt
COPY target/release/dockway /usr/local/bin/dockway

FROM $RUST AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY migrations migrations
COPY static static
RUN cargo build --release --locked --bin dockway

FROM runtime
COPY --from=build /src/target/release/dockway /usr/local/bin/dockway
