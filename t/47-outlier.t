#!/usr/bin/perl

# Servers of a pool that fail: they are left alone for a while, probed, and
# taken back; clients see little of it.  And servers that say how loaded they
# are.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;
use Test::Mark::HTTP;

my $t = Test::Mark->new(log_level => 'info');

# The bad one does what the path says as long as there is a file; the others
# are always well.

my $sick = $t->dir . '/sick';

my %how = (
    reset => { reset => 1 },
    hang => { hang => 1 },
    500 => { status => 500, body => '{"e": 500}' },
    503 => { status => 503, body => '{"e": 503}' },
    lies => { length => 1000, then_close => 1 },
    stuck => { length => 1000 },
    cut => { cut => 60 },
    garbage => { raw => "HTTP/1.1 200 OK\r\n\1\2\3\r\n\r\n", then_close => 1 },
    404 => { status => 404, body => '{"e": 404}' },
);

my $handler = sub {
    my ($req) = @_;

    return { delay => 60 } if $req->{uri} =~ /forever/;

    return unless -e $sick;

    my ($what) = $req->{uri} =~ m!([^/]+)$!;
    return $how{$what};
};

my $bad = $t->backend(8081, handler => $handler);
my $away = $t->backend(8085);
my @good = ($t->backend(8082), $t->backend(8083));

# how loaded it is, in the path

my $loaded = $t->backend(8084, handler => sub {
    my ($what, $load) = $_[0]{uri} =~ m!/(\w+)/([\d.]+)$! or return;

    return { headers => { 'endpoint-load-metrics' =>
        $what eq 'text' ? "TEXT cpu_utilization=$load"
        : $what eq 'json' ? qq(JSON {"cpu_utilization": $load})
        : $what eq 'metric' ? "TEXT named_metrics.kv=$load"
        : 'nonsense' } };
});

my @kinds = qw(plain direct batch);
my @ways = qw(refuse reset hang 500 503 lies stuck cut garbage);

my $upstreams = join "\n", map {
    my $way = $_;
    my $port = $way eq 'refuse' ? 8085 : 8081;

    map { "upstream $_-$way {
        mark_balance slo retries=100 slow_start=100ms;
        server 127.0.0.1:%%PORT_$port%%;
        server 127.0.0.1:%%PORT_8082%%;
        server 127.0.0.1:%%PORT_8083%%;
    }" } @kinds
} @ways, 404;

my %more = (plain => '', direct => 'proxy_buffering off;',
            batch => 'mark_batch v1;');

my $locations = join "\n", map {
    my $way = $_;

    map { "location /$_/$way { $more{$_} proxy_pass http://$_-$way; }" } @kinds
} @ways, 404;

$t->conf(<<"EOC")->run;
%%GLOBALS%%

events {
    worker_connections 1024;
}

http {
    %%HTTP%%

    $upstreams

    upstream pair {
        mark_balance slo retries=100 max_ejected=100%;
        server 127.0.0.1:%%PORT_8081%%;
        server 127.0.0.1:%%PORT_8099%%;
    }

    upstream none {
        mark_balance slo retries=100 max_ejected=0;
        server 127.0.0.1:%%PORT_8099%%;
        server 127.0.0.1:%%PORT_8082%%;
    }

    upstream left {
        mark_balance slo;
        server 127.0.0.1:%%PORT_8081%%;
        server 127.0.0.1:%%PORT_8082%%;
    }

    upstream slow {
        mark_balance slo retries=100 slow_start=1h;
        server 127.0.0.1:%%PORT_8081%%;
        server 127.0.0.1:%%PORT_8082%%;
    }

    upstream loads {
        mark_balance slo;
        server 127.0.0.1:%%PORT_8084%%;
        server 127.0.0.1:%%PORT_8082%%;
    }

    upstream metric {
        mark_balance slo pressure=named_metrics.kv:10:20;
        server 127.0.0.1:%%PORT_8084%%;
    }

    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_read_timeout 300ms;
    proxy_next_upstream error timeout http_500 http_503 invalid_header
                        non_idempotent;

    server {
        listen 127.0.0.1:%%PORT_8080%%;

        $locations

        location /pair { proxy_pass http://pair; }
        location /none { proxy_pass http://none; }
        location /left { proxy_read_timeout 60s; proxy_pass http://left; }
        location /slow { proxy_pass http://slow; }
        location /loads { proxy_pass http://loads; }
        location /metric { proxy_pass http://metric; }

        location = /mark_status { mark_status; }
    }
}
EOC

$t->allow(qr/\[error\]/);

my $p = $t->port(8080);
my (@r, $s, $n);

# Servers are well, fail for a while, each in its way, and are well again.

my @pools = map { my $kind = $_; map { "$kind-$_" } @ways } @kinds;
my (%said, %before);

for (@pools, map { "$_-404" } @kinds) {
    load($_, 40);
    is(failures($_), 0, "$_: well");
}

%said = ();
$away->stop;
$t->write_file('sick', '');

until_all('ejected', sub { bad($_[0])->{ejections} > 0 });
until_all('probed in vain', sub { bad($_[0])->{ejections} > 1 });

for (@pools) {
    my ($kind, $way) = /(\w+)-(\w+)/;

    cmp_ok(bad($_)->{failures}, '>=', 3, "$_: its failures are counted");
    is(join(' ', map { $_->{ejections} } (servers($_))[1, 2]), '0 0',
        "$_: the others are well");

    # what is sent again is answered; what had begun cannot be

    is(join(' ', grep { $_ ne 200 } keys %{$said{$_}}), '',
        "$_: nobody sees it")
        unless $way =~ /^(?:lies|stuck|cut)$/;
}

for (map { "$_-404" } @kinds) {
    load($_, 40);
    is(bad($_)->{ejections} + failures($_), 0, "$_: no failure");
}

unlink $sick;
$away->start;
$before{$_} = bad($_)->{requests} for @pools;

until_all('back again', sub { bad($_[0])->{outlier} eq 'healthy' });
until_all('with its full share', sub { bad($_[0])->{share} == 1 });
until_all('and requests', sub { bad($_[0])->{requests} > $before{$_[0]} + 5 });

# Never the last one.

$bad->stop;
many('/pair', 40);
is(join(' ', sort map { $_->{outlier} eq 'healthy' ? 1 : 0 } servers('pair')),
    '0 1', 'the last one stays');
$bad->start;
ok(wait_for(sub { (many('/pair', 1))[0]{status} == 200 }), 'and is asked');

many('/none', 40);
is(server('none', 8099)->{ejections}, 0, 'max_ejected=0: none');

# A client that goes away tells nothing of the server.

many('/left', 40);

for (1 .. 4) {
    http_many([map { { uri => '/left/forever', body => "[$_]", leave => 0.1,
                       how => $_ % 2 ? 'reset' : 'close' } } 1 .. 6],
              port => $p);
}

ok(wait_for(sub { !grep { $_->{in_flight} } servers('left') }), 'left: over');
is(failures('left'), 0, 'left: no failures');
is(join(' ', map { $_->{outlier} } servers('left')), 'healthy healthy',
    'left: none is ejected');

# Who comes back begins with a small share.

many('/slow', 40);
$bad->stop;
wait_for(sub { many('/slow', 10); server('slow', 8081)->{ejections} });
$bad->start;
ok(wait_for(sub { many('/slow', 10);
                  server('slow', 8081)->{outlier} eq 'healthy' }),
    'slow start: back again');
cmp_ok(server('slow', 8081)->{share}, '<', 0.2, 'slow start: a small share');
is(server('slow', 8082)->{share}, 1, 'slow start: not for the other');

# Load reports.

many("/loads/text/0.4", 20);
is(server('loads', 8084)->{share}, 1, 'load: has room');
ok(wait_for(sub { many('/loads/text/0.9', 4);
                  server('loads', 8084)->{share} < 0.5 }), 'load: TEXT');
is(server('loads', 8082)->{share}, 1, 'load: not the other');
ok(wait_for(sub { many('/loads/json/0.1', 4);
                  server('loads', 8084)->{share} > 0.9 }), 'load: well again');
ok(wait_for(sub { many('/loads/json/1.0', 4);
                  server('loads', 8084)->{share} < 0.2 }), 'load: JSON');
many('/loads/other/1', 8);
ok($t->wait_log(qr/"endpoint-load-metrics: nonsense" is no load report/),
    'load: what cannot be read');

many('/metric/text/0.4', 4);
many('/metric/metric/9', 4);
is(server('metric', 8084)->{share}, 1, 'metric: below');
ok(wait_for(sub { many('/metric/metric/15', 4);
                  server('metric', 8084)->{share} < 0.7 }), 'metric: between');
ok(wait_for(sub { many('/metric/metric/30', 4);
                  server('metric', 8084)->{share} < 0.1 }), 'metric: above');
is(statuses(many('/metric/metric/30', 4)), 'all 200', 'metric: asked still');

is($_->{in_flight}, 0, "$_->{name}: nothing left")
    for map { @{$_->{servers}} } @{$t->status->{pools}};

done_testing;


sub many {
    my ($uri, $n) = @_;

    return http_many([map { { uri => $uri, body => "{\"instances\": [$_]}" } }
                      1 .. $n], port => $p, concurrency => 6);
}


# the way to a pool

sub load {
    my ($pool, $n) = @_;

    (my $uri = "/$pool") =~ s!-!/!;
    $said{$pool}{$_->{status}}++ for many($uri, $n);
}


# requests to all pools until something holds for each of them

sub until_all {
    my ($what, $holds) = @_;

    my %left = map { $_ => 1 } @pools;

    wait_for(sub {
        for (sort keys %left) {
            load($_, 6);
            delete $left{$_} if $holds->($_);
        }

        return !%left;
    }, 60);

    ok(!$left{$_}, "$_: $what") for @pools;
}


sub bad { (servers($_[0]))[0] }


sub statuses {
    my %seen = map { $_->{status} => 1 } @_;

    return 'all ' . join(' ', sort keys %seen);
}


sub servers {
    my ($name) = @_;

    my ($pool) = grep { $_->{upstream} eq $name } @{$t->status->{pools}};

    return @{$pool->{servers}};
}


sub server {
    my ($pool, $port) = @_;

    my $name = '127.0.0.1:' . $t->port($port);

    return (grep { $_->{name} eq $name } servers($pool))[0];
}


sub failures {
    my $n = 0;

    $n += $_->{failures} for servers($_[0]);

    return $n;
}
