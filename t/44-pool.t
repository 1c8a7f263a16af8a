#!/usr/bin/perl

# mark_balance slo: which server of an upstream has which request, for all the
# ways that nginx has to an upstream.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;
use Test::Mark::CGI;

my $t = Test::Mark->new;

my $dir = $t->dir;
my $tls = $t->has_option('http_ssl_module')
    && system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 "
              . "-subj /CN=localhost -keyout $dir/key.pem "
              . "-out $dir/cert.pem >$dir/openssl.log 2>&1") == 0;
my $grpc = $t->has_option('http_v2_module') && $t->has_option('http_ssl_module')
    && Test::Mark::version_text() !~ /--without-http_grpc_module/;

# what a server does is in the path

my $handler = sub {
    my ($req) = @_;

    my $uri = $req->{uri};

    return { hang => 1 } if $uri =~ /hang/;
    return { status => 500, body => '{}' } if $uri =~ /500/;
    return { delay => 2 } if $uri =~ /held/;
    return { delay => 0.1 } if $uri =~ m!/slow!;
    return;
};

my $cheap = $t->backend(8081, delay => 0.02);
my $dear = $t->backend(8082, delay => 0.01);
my $bad = $t->backend(8083, handler => $handler);
my $good = $t->backend(8084);
my $other = $t->backend(8085);
my $third = $t->backend(8086);
my $models = $t->backend(8087, handler => $handler);

my %cgi = (fastcgi => 'FastCGI', scgi => 'SCGI', uwsgi => 'UWSGI');
my %port = (fastcgi => 8091, scgi => 8092, uwsgi => 8093);

for (keys %cgi) {
    delete $cgi{$_}, next
        if Test::Mark::version_text() =~ /--without-http_${_}_module/;
    $cgi{$_} = "Test::Mark::$cgi{$_}"->new(port => $t->port($port{$_}));
}

# 8098 and 8099 are nobody's

my $cgi = join "\n", map {
    "upstream $_ { mark_balance slo; server 127.0.0.1:%%PORT_$port{$_}%%; }"
} sort keys %cgi;

my $ways = join "\n", map {
    "location /$_ {
        ${_}_param CONTENT_LENGTH \$content_length;
        ${_}_param REQUEST_METHOD \$request_method;
        ${_}_param REQUEST_URI \$request_uri;
        ${_}_param SCGI 1;
        ${_}_pass $_;
    }"
} sort keys %cgi;

my $tls_conf = $tls ? <<'EOC' : '';
    upstream tls {
        mark_balance slo;
        server 127.0.0.1:%%PORT_8443%%;
        server 127.0.0.1:%%PORT_8444%%;
    }

    server {
        listen 127.0.0.1:%%PORT_8443%% ssl;
        listen 127.0.0.1:%%PORT_8444%% ssl;
        ssl_certificate cert.pem;
        ssl_certificate_key key.pem;
        location / { return 200 "$server_port $ssl_session_reused"; }
    }
EOC

my $grpc_conf = $grpc ? <<'EOC' : '';
    upstream grpc {
        mark_balance slo;
        server 127.0.0.1:%%PORT_8445%%;
    }

    server {
        listen 127.0.0.1:%%PORT_8445%% http2;
        location / { return 200 "$server_protocol"; }
    }
EOC

$grpc_conf =~ s/ http2;/; http2 on;/ if $t->has_version('1.25.1');

my $tls_way = $tls ? 'location /tls { proxy_pass https://tls; }' : '';
my $grpc_way = $grpc ? 'location /grpc { grpc_pass grpc://grpc; }' : '';

$t->conf(<<"EOC")->run;
%%GLOBALS%%

events { }

http {
    %%HTTP%%

    log_format pool '\$request_uri \$status [\$upstream_addr] '
                    '[\$upstream_status]';
    access_log %%DIR%%/access.log pool;

    upstream prices {
        mark_balance slo;
        mark_server 127.0.0.1:%%PORT_8081%% price=1 class=cpu;
        mark_server 127.0.0.1:%%PORT_8082%% price=20 class=gpu;
        keepalive 8;
    }

    upstream kept {
        zone kept 64k;
        server 127.0.0.1:%%PORT_8084%%;
        server 127.0.0.1:%%PORT_8085%%;
        mark_balance slo;
        keepalive 8;
    }

    upstream weights {
        mark_balance slo;
        server 127.0.0.1:%%PORT_8083%% weight=3;
        server 127.0.0.1:%%PORT_8087%%;
    }

    upstream states {
        mark_balance slo;
        server 127.0.0.1:%%PORT_8084%% backup;
        server 127.0.0.1:%%PORT_8085%% down;
        server 127.0.0.1:%%PORT_8086%%;
    }

    upstream backups {
        mark_balance slo retries=100;
        server 127.0.0.1:%%PORT_8098%%;
        server 127.0.0.1:%%PORT_8084%% backup;
    }

    upstream next {
        mark_balance slo retries=100;
        server 127.0.0.1:%%PORT_8098%%;
        server 127.0.0.1:%%PORT_8099%%;
        server 127.0.0.1:%%PORT_8084%%;
    }

    upstream steady {
        mark_balance slo retries=100;
        server 127.0.0.1:%%PORT_8098%% max_fails=0;
        server 127.0.0.1:%%PORT_8084%% max_fails=0;
    }

    upstream dead {
        mark_balance slo retries=100;
        server 127.0.0.1:%%PORT_8098%%;
        server 127.0.0.1:%%PORT_8099%%;
        server 127.0.0.1:%%PORT_8084%% down;
    }

    upstream alone {
        mark_balance slo;
        server 127.0.0.1:%%PORT_8098%%;
    }

    upstream errors {
        mark_balance slo;
        server 127.0.0.1:%%PORT_8083%%;
        server 127.0.0.1:%%PORT_8086%%;
    }

    upstream unwilling {
        mark_balance slo retries=0;
        server 127.0.0.1:%%PORT_8098%%;
        server 127.0.0.1:%%PORT_8084%%;
    }

    upstream models {
        mark_balance slo;
        server 127.0.0.1:%%PORT_8087%% max_conns=4;
    }

    upstream both {
        mark_balance slo;
        server 127.0.0.1:%%PORT_8084%% weight=5 max_conns=2;
        mark_server 127.0.0.1:%%PORT_8084%% price=2.5 max_batch=3;
    }

    upstream sock {
        mark_balance slo;
        mark_server unix:%%DIR%%/sock price=1;
    }

    $tls_conf
    $grpc_conf
    $cgi

    server {
        listen unix:%%DIR%%/sock;
        location / { return 200 sock; }
    }

    proxy_http_version 1.1;
    proxy_set_header Connection "";

    server {
        listen 127.0.0.1:%%PORT_8080%%;

        location /prices { mark_slo 5s; proxy_pass http://prices; }
        location /prices/none { mark_slo 0; proxy_pass http://prices; }
        location /prices/now { mark_slo 3ms; proxy_pass http://prices; }
        location /batched {
            mark_slo 5s;
            mark_batch v1;
            proxy_pass http://prices;
        }

        location /kept { proxy_pass http://kept; }
        location /weights { proxy_pass http://weights; }
        location /states { proxy_pass http://states; }
        location /backups { proxy_pass http://backups; }

        location /next { proxy_pass http://next; }
        location /steady { proxy_pass http://steady; }
        location /dead { proxy_pass http://dead; }
        location /alone { proxy_pass http://alone; }
        location /unwilling { proxy_pass http://unwilling; }

        location /errors {
            proxy_next_upstream error timeout http_500 non_idempotent;
            proxy_read_timeout 300ms;
            proxy_pass http://errors;
        }

        location /errors/idempotent {
            proxy_next_upstream error timeout http_500;
            proxy_pass http://errors;
        }

        location /models { proxy_pass http://models; }

        location /both {
            mark_batch v1;
            mark_max_batch_size 8;
            mark_max_queue_delay 30s;
            proxy_pass http://both;
        }

        location /variable {
            set \$pool kept;
            proxy_pass http://\$pool;
        }

        location /variable/batched {
            mark_batch v1;
            mark_max_batch_size 3;
            mark_max_queue_delay 30s;
            set \$pool kept;
            proxy_pass http://\$pool;
        }

        location /sock { proxy_pass http://sock; }

        $tls_way
        $grpc_way
        $ways

        location = /mark_status {
            access_log off;
            mark_status;
        }
    }
}
EOC

$t->allow(qr/\[error\]/);

my $p = $t->port(8080);
my $workers = $t->expected;
my (@r, %had, $s, $before);

# Prices.  Each server is tried until it is known; then all are for the cheap
# one, whose time is far below the deadline.  What was sent to look again at a
# server that had nothing for long is not counted.

for my $way (qw(prices batched)) {
    is(statuses(ask("/$way", 24)), 'all 200', "$way: all answered");
    cmp_ok(scalar($dear->requests), '>=', 8, "$way: the dear one is tried");

    $before = server('prices', 8082);
    $cheap->clear;
    ask("/$way", 20);
    $s = server('prices', 8082);

    my $explored = $s->{explored} - $before->{explored};

    is($s->{requests} - $before->{requests}, $explored,
        "$way: the dear one has nothing");
    is(scalar($cheap->requests), 20 - $explored, "$way: the cheap one has all");
    $dear->clear;
}

# Of more kinds of requests than are learned apart some are learned together.

ask("/prices/$_", 1) for (1 .. 12) x 12;
$before = server('prices', 8082);
ask("/prices/$_", 1) for (1 .. 12) x 2;
$s = server('prices', 8082);
is($s->{requests} - $before->{requests}, $s->{explored} - $before->{explored},
    'many paths: the dear one has nothing');

# Without a deadline, or with one that nobody meets, the faster one.

ask('/prices/none', 24);
$before = server('prices', 8081);
ask('/prices/none', 10);
$s = server('prices', 8081);
is($s->{requests} - $before->{requests}, $s->{explored} - $before->{explored},
    'no deadline: the fast one has all');

ask('/prices/now', 24);
$before = server('prices', 8081);
ask('/prices/now', 10);
$s = server('prices', 8081);
is($s->{requests} - $before->{requests}, 0, 'too short: the fast one has all');

is($s->{class}, 'cpu', 'class');

# Connections are kept, and both servers have their turn.

$good->clear;
$other->clear;
is(statuses(ask('/kept', 40)), 'all 200', 'kept: all answered');
is($good->requests + $other->requests, 40, 'kept: by both');
cmp_ok(scalar($good->requests), '>=', 8, 'kept: the one');
cmp_ok(scalar($other->requests), '>=', 8, 'kept: and the other');
cmp_ok($good->connections, '<=', $workers, 'kept: on one connection');
cmp_ok($other->connections, '<=', $workers, 'kept: and one');

# States of servers.

$_->clear for $good, $other, $third;
is(statuses(ask('/states', 20)), 'all 200', 'states: all answered');
is(join(' ', map { scalar(() = $_->requests) } $good, $other, $third),
    '0 0 20', 'states: neither the backup nor what is down');

is(statuses(ask('/backups/', 10)), 'all 200', 'backup: in need');
is(scalar(() = $good->requests), 10, 'backup: had them');
like(addresses('/backups/0'), qr/^8098 8084 /, 'backup: after the others');

# Of many that are held at once each has a part by its weight.

$_->clear for $models, $bad;
@r = http_many([map { { uri => '/weights/held',
                        body => "{\"instances\": [$_]}" } } 1 .. 8],
               port => $p);
is(statuses(@r), 'all 200', 'weights: answered');
is($bad->requests . ' ' . $models->requests, '6 2', 'weights: three to one');

# The next server is tried, each once.

is(statuses(ask('/next/', 1)), 'all 200', 'next: answered');
is(addresses('/next/0'), '8098 8099 8084 - 502 502 200', 'next: in turn');

is(statuses(ask('/next/more/', 20)), 'all 200', 'next: all answered');
is(server('next', 8098)->{outlier}, 'ejected', 'next: the dead are ejected')
    if server('next', 8098)->{ejections};

is(statuses(ask('/dead/', 1)), 'all 502', 'dead: 502');
is(addresses('/dead/0'), '8098 8099 - 502 502', 'dead: each once');
is(statuses(ask('/dead/more/', 20)), 'all 502', 'dead: all 502');
ok(!grep({ $_->{state} ne 'ready' } servers('dead')), 'dead: still there');
is(scalar(grep { $_->{outlier} ne 'healthy' } servers('dead')), 1,
    'dead: never the last one');

is(statuses(ask('/alone/', 10)), 'all 502', 'alone: 502');
is(addresses('/alone/9'), '8098 - 502', 'alone: tried all the same');
is(server('alone', 8098)->{ejections}, 0, 'alone: never ejected');

is(statuses(ask('/unwilling/', 1)), 'all 502', 'no retries: 502');
is(addresses('/unwilling/0'), '8098 unwilling - 502 502', 'no retries: one');
is(pool('unwilling')->{retry_refused}, 1, 'no retries: counted');

# max_fails=0: never ejected.

is(statuses(ask('/steady', 20)), 'all 200', 'max_fails=0: all answered');
is(server('steady', 8098)->{ejections}, 0, 'max_fails=0: never ejected');
cmp_ok(server('steady', 8084)->{requests}, '==', 20, 'max_fails=0: the other');

# Errors and timeouts, and who may be asked twice.

is(http_post($p, '/errors/500', '{"instances": [1]}')->{status}, 200,
    'http_500: answered');
is(addresses('/errors/500'), '8083 8086 - 500 200', 'http_500: by the next');

# what failed, and is not known better, is not the first choice for a second

sleep 2;

is(http_post($p, '/errors/hang', '{"instances": [1]}')->{status}, 200,
    'timeout: answered');
is(addresses('/errors/hang'), '8083 8086 - 504 200', 'timeout: by the next');

sleep 2;

is(http_post($p, '/errors/idempotent/500', '{"instances": [1]}')->{status},
    500, 'POST: not twice');
is(addresses('/errors/idempotent/500'), '8083 - 500', 'POST: once');

# Models of different latencies on one server are learned apart.

ask('/models/fast', 10);
ask('/models/slow', 10);

my @learned = sort { $a <=> $b }
    map { $_->{base_seconds} + $_->{row_seconds} }
    @{server('models', 8087)->{learned}};

is(scalar(@learned), 2, 'models: two');
cmp_ok($learned[-1], '>', 0.09, 'models: the slow one');
cmp_ok($learned[0], '<', $learned[-1] / 2, 'models: the fast one');

# A server that is both.

$s = server('both', 8084);
is("$s->{price} $s->{weight} $s->{concurrency} $s->{max_batch}", '2.5 5 2 3',
    'both: of both');
is(scalar(servers('both')), 1, 'both: once');

# A batch has no more than its server takes.

$good->clear;
@r = http_many([map { { uri => '/both', body => "{\"instances\": [$_]}" } }
                1 .. 6], port => $p);
is(statuses(@r), 'all 200', 'max_batch: answered');
is(join(' ', map { scalar @{$_->{rows}} } $good->requests), '3 3',
    'max_batch: three at a time')
    if $workers == 1;

# Ways to an upstream.

is(statuses(ask('/variable', 1)), 'all 200', 'variable');
@r = http_many([map { { uri => '/variable/batched',
                        body => "{\"instances\": [$_]}" } } 1 .. 3],
               port => $p) if $workers == 1;
is(statuses(@r), 'all 200', 'variable: batched');

is(http_get($p, '/sock')->{body}, 'sock', 'unix:');
is((servers('sock'))[0]{server}, "unix:$dir/sock", 'unix: its address');
is((servers('sock'))[0]{requests}, 1, 'unix: counted');

for my $way (sort keys %cgi) {
    @r = ask("/$way", 10);
    is(statuses(@r), 'all 200', "$way: answered");
    is($r[7]{body}, '{"predictions": [7]}', "$way: what was asked");

    $s = server($way, $port{$way});
    is($s->{in_flight}, 0, "$way: over");
    is(scalar(@{$s->{learned}}), 1, "$way: learned");
}

SKIP: {
    skip 'no grpc', 3 unless $grpc;

    @r = ask('/grpc', 10);
    is(statuses(@r), 'all 200', 'grpc: answered');
    is($r[0]{body}, 'HTTP/2.0', 'grpc: over HTTP/2');
    is(server('grpc', 8445)->{in_flight}, 0, 'grpc: over');
}

SKIP: {
    skip 'no TLS', 4 unless $tls;

    @r = ask('/tls', 20 * $workers);
    is(statuses(@r), 'all 200', 'TLS: answered');

    for my $port (8443, 8444) {
        my $of = $t->port($port);
        my @said = map { $_->{body} =~ /^$of (.)/ ? $1 : () } @r;

        cmp_ok(scalar(grep { $_ eq '.' } @said), '<=', $workers,
            "TLS: one new session a worker with $port");
        cmp_ok(scalar(grep { $_ eq 'r' } @said), '>', 0,
            "TLS: which is used again");
    }
}

is($_->{in_flight}, 0, "$_->{name}: nothing left")
    for map { @{$_->{servers}} } @{$t->status->{pools}};

done_testing;


# so many requests, one after the other

sub ask {
    my ($uri, $n) = @_;

    return map {
        http_post($p, $uri . ($uri =~ m!/$! ? $_ : ''),
                  "{\"instances\": [$_]}")
    } 0 .. $n - 1;
}


sub statuses {
    my %seen = map { $_->{status} => 1 } @_;

    return 'all ' . join(' ', sort keys %seen);
}


# which servers had a request, by the number of their port, and what they said

sub addresses {
    my ($uri) = @_;

    my $found;

    wait_for(sub {
        $found = $t->access_log =~ /^\Q$uri\E \d+ \[(.*)\] \[(.*)\]$/m
            ? "$1 - $2" : undef;
    }) or return 'nothing';

    my %name = map { ('127.0.0.1:' . $t->port($_)) => $_ } 8081 .. 8099;

    $found =~ s/(127\.0\.0\.1:\d+)/$name{$1} || $1/ge;
    $found =~ s/,//g;

    return $found;
}


sub pool {
    my ($name) = @_;

    return (grep { $_->{upstream} eq $name } @{$t->status->{pools}})[0];
}


sub servers { @{pool($_[0])->{servers}} }


sub server {
    my ($pool, $port) = @_;

    my $name = '127.0.0.1:' . $t->port($port);

    return (grep { $_->{name} eq $name } servers($pool))[0];
}
