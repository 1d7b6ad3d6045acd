# Holdfast as an image: one static binary, nobody's user, no shell.
#
#   docker build -t holdfast .
#   docker run -v ./holdfast.yaml:/etc/holdfast/holdfast.yaml:ro -p 8080:8080 \
#     --stop-timeout 45 --ulimit nofile=1048576:1048576 holdfast
#
# docker kill -s HUP takes a changed file (mount the directory rather than the
# file if your editor replaces files). The admin address is loopback inside the
# container: share its network namespace to scrape it.

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS TARGETARCH
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags="-s -w" -o /holdfast ./cmd/holdfast

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /holdfast /usr/local/bin/holdfast
COPY LICENSE /usr/share/doc/holdfast/LICENSE
# nonroot, by number: Kubernetes cannot tell by a name that it is not root.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/holdfast"]
CMD ["serve", "--config", "/etc/holdfast/holdfast.yaml"]
