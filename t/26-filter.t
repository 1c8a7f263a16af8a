#!/usr/bin/perl

# Batches with filters, files, threads and TLS, and with other handlers than
# proxy_pass.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use IO::Uncompress::Gunzip qw(gunzip);
use POSIX ();
use Test::Mark;

my $t = Test::Mark->new;

my $b = $t->backend(8081);
my $dir = $t->dir;
my $p = $t->port(8080);
my $uwsgi = uwsgi_server($t->port(8083));

$t->write_file('static', 'file');

my $tls = $t->has_option('http_ssl_module')
    && system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 "
              . "-subj /CN=localhost -keyout $dir/key.pem "
              . "-out $dir/cert.pem >$dir/openssl.log 2>&1") == 0;

# parts of the configuration that need an option of configure

my %parts = (
    SUB => $t->has_option('http_sub_module') && <<'EOC',
            sub_filter needle hay;
            sub_filter_types application/json;
            sub_filter_once off;
EOC
    AIO => $t->has_option('threads') && <<'EOC',
        location /aio {
            mark_batch v1;
            aio threads;
            aio_write on;
            sendfile on;
            directio 1k;
            output_buffers 1 4k;
            proxy_buffer_size 4k;
            proxy_buffers 2 4k;
            proxy_busy_buffers_size 4k;
            proxy_pass http://b;
        }
EOC
    TLS => $tls && <<'EOC',
    server {
        listen 127.0.0.1:%%PORT_8443%% ssl;
        ssl_certificate cert.pem;
        ssl_certificate_key key.pem;

        location / {
            mark_batch v1;
            proxy_set_header X-Tls "$scheme $https $ssl_protocol";
            proxy_pass https://127.0.0.1:%%PORT_8444%%;
        }
    }

    server {
        listen 127.0.0.1:%%PORT_8444%% ssl;
        ssl_certificate cert.pem;
        ssl_certificate_key key.pem;

        location / {
            proxy_set_header X-Upstream-Tls $ssl_protocol;
            proxy_pass http://b;
        }
    }
EOC
);

my $conf = <<'EOC';
%%GLOBALS%%

events {
}

http {
    %%HTTP%%

    log_format marks '$uri $status $mark_batch_size $remote_addr '
                     '$upstream_addr $upstream_status '
                     '$upstream_response_time';
    access_log %%DIR%%/access.log marks;

    upstream b {
        server 127.0.0.1:%%PORT_8081%%;
    }

    client_body_buffer_size 1m;
    proxy_http_version 1.1;
    proxy_set_header Connection "";

    mark_max_queue_delay 30s;
    mark_max_batch_size 3;

    server {
        listen 127.0.0.1:%%PORT_8080%%;

        location /plain {
            mark_batch v1;
            proxy_pass http://b;
        }

        location /filters {
            mark_batch v1;
            add_header X-Own "$request_id $http_user_agent";
            gzip on;
            gzip_types application/json;
            gzip_min_length 1;
            SUB
            proxy_set_header X-Id $request_id;
            proxy_pass http://b;
        }

        location /static {
            mark_batch v1;
            root %%DIR%%;
        }

        location /return {
            mark_batch v1;
            return 200 returned;
        }

        location /gif {
            mark_batch v1;
            empty_gif;
        }

        location /uwsgi {
            mark_batch v1;
            uwsgi_param REQUEST_METHOD $request_method;
            uwsgi_param REQUEST_URI $request_uri;
            uwsgi_param CONTENT_LENGTH $content_length;
            uwsgi_pass 127.0.0.1:%%PORT_8083%%;
        }

        location /fastcgi {
            mark_batch v1;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_pass 127.0.0.1:%%PORT_8084%%;
        }

        location /linger {
            mark_batch v1;
            lingering_close always;
            proxy_pass http://b;
        }

        location /file {
            mark_batch v1;
            client_body_buffer_size 16;
            proxy_pass http://b;
        }

        location /in-file {
            mark_batch v1;
            client_body_in_file_only clean;
            proxy_pass http://b;
        }

        location /slow {
            mark_batch v1;
            limit_rate 100k;
            proxy_pass http://b;
        }

        location /tls {
            proxy_pass https://127.0.0.1:%%PORT_8443%%;
        }

        AIO

        location = /mark_status {
            mark_status;
        }
    }

    TLS
}
EOC

for my $part (keys %parts) {
    my $text = $parts{$part} || '';
    $conf =~ s/^ *$part\n/$text/m or die "no place for $part";
}

$conf =~ s/^.*uwsgi_p.*\n|^.*fastcgi_p.*\n//mg
    if Test::Mark::version_text() =~ /without-http_(?:uwsgi|fastcgi)/;

$t->conf($conf)->run;

my (@r, $seen, $r);

# Filters see each answer once.

$b->clear;
@r = many('/filters', map { [qq("needle $_, needle"), 'User-Agent' => "ua-$_",
    $_ == 2 ? () : ('Accept-Encoding' => 'gzip')] } 1 .. 3);

my $word = $parts{SUB} ? 'hay' : 'needle';

for my $n (1 .. 3) {
    $r = $r[$n - 1];

    is($r->{headers}{'content-encoding'}, $n == 2 ? undef : 'gzip',
        "/filters $n: encoding");
    my $body = $r->{body};
    gunzip(\$r->{body}, \$body) if $n != 2;
    is($body, qq({"predictions": ["$word $n, $word"]}), "/filters $n: body");
    like($r->{headers}{'x-own'}, qr/^[0-9a-f]{32} ua-$n$/,
        "/filters $n: header");
}

($seen) = $b->requests;
is(scalar @{$seen->{rows}}, 3, '/filters: one batch');
my ($first) = $seen->{rows}[0] =~ /(\d)/;
is($seen->{headers}{'x-id'}, substr($r[$first - 1]{headers}{'x-own'}, 0, 32),
    '/filters: $request_id of the first');

# The access log.

three('/plain/log');
ok(wait_for(sub {
    my $up = $t->port(8081);
    my @lines = $t->access_log
        =~ m!^/plain/log 200 3 127.0.0.1 127.0.0.1:$up 200 \d\.\d\d\d$!mg;
    return @lines == 3;
}), 'access log') or diag($t->access_log =~ m!^(/plain/log.*)!mg);

# Bodies in files, answers by the way of files, slow answers.

three('/linger');
three('/file', rows => [map { '"' . $_ x 5000 . '"' } 1 .. 3]);
is($t->location('/file')->{body_files}, 3, '/file: read back');
three('/in-file');
three('/slow', rows => [map { '"' . $_ x 50000 . '"' } 1 .. 3]);

SKIP: {
    skip 'nginx without threads', 3 unless $parts{AIO};

    three('/aio');
    three('/aio', rows => [map { '"' . $_ x 200000 . '"' } 1 .. 3]);
}

# TLS on both sides.

SKIP: {
    skip 'nginx without TLS, or no openssl', 4 unless $tls;

    $seen = three('/tls');
    like($seen->{headers}{'x-tls'}, qr/^https on TLSv1\.\d$/, '/tls: client');
    like($seen->{headers}{'x-upstream-tls'}, qr/^TLSv1\.\d$/,
        '/tls: upstream');
}

# Other handlers.

is(join(' ', map { $_->{status} } many('/static', 1 .. 3)), '405 405 405',
    '/static');
is(join(' ', map { $_->{body} } many('/return', 1 .. 3)),
    'returned returned returned', '/return');
is(join(' ', map { $_->{status} } many('/gif', 1 .. 3)), '405 405 405',
    '/gif');
is(http_get($p, '/gif')->{headers}{'content-type'}, 'image/gif', '/gif: GET');

SKIP: {
    skip 'nginx without uwsgi or fastcgi', 2 unless $conf =~ /uwsgi_pass/;

    is(join(' ', map { "$_->{status} $_->{body}" } many('/uwsgi', 4 .. 6)),
        join(' ', map { qq(200 {"predictions": [$_]}) } 4 .. 6), '/uwsgi');
    is(join(' ', map { $_->{status} } many('/fastcgi', 1 .. 3)),
        '502 502 502', '/fastcgi: not there');
}

kill 'KILL', $uwsgi;
waitpid $uwsgi, 0;

done_testing;


# three requests that must be one batch; returns what the backend saw

sub three {
    my ($uri, %o) = @_;

    my @rows = @{$o{rows} || [1, 2, 3]};
    my $backend = $o{backend} || $b;
    my $before = $backend->requests;

    my @got = many($uri, map { [$_, %{$o{headers} || {}}] } @rows);
    my @batches = grep { $_->{rows} && @{$_->{rows}} == 3 }
        splice @{[$backend->requests]}, $before;

    ok(@batches == 1 && !(grep {
        "$got[$_]{status} $got[$_]{body}"
            ne qq(200 {"predictions": [$rows[$_]]})
    } 0 .. 2), "$uri: a batch, with everybody's own answer")
        or diag(scalar(@batches), map {
            "\n$_->{status} " . substr($_->{body}, 0, 100)
        } @got);

    return $batches[0] || { headers => {}, header_list => [], rows => [] };
}


# at once; rows, or [row, headers]

sub many {
    my ($uri, @rows) = @_;

    return http_many([map {
        my ($row, @headers) = ref $_ ? @$_ : $_;
        { uri => $uri, body => qq({"instances": [$row]}),
          headers => \@headers };
    } @rows], port => $p, timeout => 15);
}


# answers one uwsgi request a connection, as the backends do

sub uwsgi_server {
    my ($port) = @_;

    my $listen = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port",
        Listen => 10, ReuseAddr => 1) or die "listen: $!\n";
    my $pid = fork;
    die "fork: $!\n" unless defined $pid;
    return $pid if $pid;

    while (my $c = $listen->accept) {
        read $c, my $head, 4;
        read $c, my $params, unpack 'x v', $head;
        my %param = unpack '(v/a v/a)*', $params;
        read $c, my $body, $param{CONTENT_LENGTH};
        $body =~ s/instances/predictions/;
        print $c "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            . "\r\n$body";
        close $c;
    }

    POSIX::_exit(0);
}
