# Two images from one file:
#
#   docker build -t nginx-mark .                         nginx with the module
#   docker build -t mark-server --target server .        the model server
#
#   docker run -p 8501:8501 mark-server
#   docker run -p 8080:8080 -e MARK_BACKENDS="gpu1:8501 cpu1:8501" nginx-mark
#
# nginx resolves the names of its backends once, when it starts, and does not
# start without an address for each.  Another base image (--build-arg BASE=...)
# must be a Debian 12 as well.

ARG BASE=debian:bookworm-slim


FROM ${BASE} AS build

WORKDIR /src
COPY run Makefile config ngx_http_mark_module.c ./
COPY src src
COPY t/lib t/lib
RUN ./run build


FROM ${BASE} AS server

RUN apt-get -q update \
    && DEBIAN_FRONTEND=noninteractive apt-get -q -y install \
        --no-install-recommends libtorch1.13 libmicrohttpd12 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o www-data -g www-data /var/cache/mark-server

COPY --from=build /src/build/mark-server /usr/bin/

USER www-data
EXPOSE 8501
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8501 && \
     printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && \
     read -r line <&3 && [[ $line == *' 200 '* ]]"]

ENTRYPOINT ["mark-server", "--listen", "0.0.0.0:8501", \
    "--cache", "/var/cache/mark-server"]
CMD ["--model", "digits"]


FROM ${BASE} AS nginx

RUN apt-get -q update \
    && DEBIAN_FRONTEND=noninteractive apt-get -q -y install \
        --no-install-recommends nginx libjansson4 \
    && rm -rf /var/lib/apt/lists/*

COPY --from=build /src/build/ngx_http_mark_module.so /usr/lib/nginx/modules/
COPY conf/examples/docker.conf /etc/nginx/nginx.conf

RUN printf 'load_module modules/ngx_http_mark_module.so;\n' \
        >/etc/nginx/modules-enabled/50-mod-http-mark.conf \
    && printf 'server 127.0.0.1:8501;\n' >/etc/nginx/backends.conf \
    && chown www-data:www-data /etc/nginx/backends.conf \
    && nginx -t \
    && rm -rf /tmp/*

ENV MARK_BACKENDS="127.0.0.1:8501"

USER www-data
EXPOSE 8080
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=10s --timeout=3s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8080 && \
     printf 'GET /mark_status HTTP/1.0\\r\\n\\r\\n' >&3 && \
     read -r line <&3 && [[ $line == *' 200 '* ]]"]

CMD ["sh", "-c", "for b in $MARK_BACKENDS; do echo \"server $b;\"; done \
    >/etc/nginx/backends.conf && exec nginx -e stderr -g 'daemon off;'"]
