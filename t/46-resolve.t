#!/usr/bin/perl

# Servers by name: "mark_server NAME resolve", and "server NAME resolve" where
# nginx has it.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;
use Test::Mark::DNS;

my $t = Test::Mark->new;

plan(skip_all => 'no module') unless $t->has_module;

my $dir = $t->dir;
my $p = $t->port(8080);
my $dns = Test::Mark::DNS->new(port => $t->port(8053));

# the addresses of the pool, all with one port

my %backends = map {
    my $address = "127.0.0.$_";
    $address => Test::Mark::Backend->new(port => $t->port(8081),
        address => $address, handler => sub {
            return { body => $address, delay => -e "$dir/slow" ? 1 : 0.01 };
        })
} 1 .. 4;

sub conf {
    my ($servers, %o) = @_;

    my $resolver = defined $o{resolver} ? $o{resolver}
        : 'resolver 127.0.0.1:%%PORT_8053%% ipv6=off; resolver_timeout 1s;';

    return <<"EOC";
%%GLOBALS%%
events { }
http {
    %%HTTP%%
    $resolver
    upstream model {
        mark_balance slo slow_start=0 slots=4;
        $servers
    }
    server {
        listen 127.0.0.1:%%PORT_8080%%;
        location / { proxy_pass http://model; proxy_next_upstream off; }
        location = /mark_status { mark_status json; }
    }
}
EOC
}

# which of the backends serve, of so many requests at a time

sub served {
    my %served;

    $served{$_->{body}}++ for http_many([map { { uri => '/' } } 1 .. 12],
                                        port => $p);
    return join ' ', map { /^127/ ? /(\d)$/ : 'none' } sort keys %served;
}

# and once the last change of addresses() has come through: requests may go to
# some of the servers by chance

my $changes = 0;

sub changes { lines(qr/ has other addresses, /) }

sub becomes {
    my ($want, $name) = @_;

    ok(wait_for(sub { changes() > $changes && served() eq $want }), $name)
        or diag(served());
}

sub addresses {
    my ($name, @last) = @_;

    $changes = changes();
    $dns->set($name, ttl => 1, addresses => [map { "127.0.0.$_" } @last]);
}

# how often a line is in the log

sub lines {
    my ($regex) = @_;

    return scalar(() = $t->log =~ /$regex/g);
}

my $name = 'mark_server model.test:%%PORT_8081%% resolve;';


# --- an address comes, another one goes ---------------------------------------

addresses('model.test', 1, 2);

$t->conf(conf($name))->run;

like($t->read_file('stderr') . $t->log, qr/\[warn\].*model\.test/,
     'no address at first is said');
becomes('1 2', 'the addresses of a name');

addresses('model.test', 2, 3);
becomes('2 3', 'others');

addresses('model.test', 3);
becomes('3', 'one');

# a server that leaves answers what it has

{
    $t->write_file('slow', '');

    my $c = Test::Mark::HTTP->new($p);

    $backends{'127.0.0.3'}->clear;
    $c->send(method => 'GET', uri => '/');
    $backends{'127.0.0.3'}->wait_requests(1);
    unlink "$dir/slow";

    addresses('model.test', 4);
    becomes('4', 'another one');
    is($c->response->{body}, '127.0.0.3', 'the old one ends what it has');
}


# --- a name that cannot be resolved -------------------------------------------

for (['NXDOMAIN', rcode => 3], ['SERVFAIL', rcode => 2],
     ['no answer', silent => 1], ['no address', addresses => []])
{
    my ($what, @how) = @$_;
    my $failed = qr/"model\.test" of upstream "model" cannot be resolved/;
    my $again = qr/"model\.test" of upstream "model" is resolved again/;
    my ($before, $agains) = (lines($failed), lines($again));

    $dns->set('model.test', @how);

    ok(wait_for(sub { lines($failed) > $before }), "$what: is said");
    is(served(), 4, "$what: what is known stays");

    my $queries = $dns->queries('model.test');

    ok(wait_for(sub { $dns->queries('model.test') > $queries }),
       "$what: tried again");
    is(lines($failed), $before + 1, "$what: and said once");

    addresses('model.test', 4);
    ok(wait_for(sub { lines($again) > $agains }), "$what: until it is over");
    is(served(), 4, "$what: and all is as it was");
}


# --- reload -------------------------------------------------------------------

# the configuration has no address of it, as at first

$dns->set('model.test', silent => 1);
ok($t->reload, 'reload');
is(served(), 4, 'the addresses are kept');

# a worker that dies

ok($t->kill_worker, 'the worker dies');
is(served(), 4, 'the addresses are kept');
addresses('model.test', 1, 4);
becomes('1 4', 'and its successor goes on');

# more addresses than room

addresses('model.test', 1 .. 4, 9);
ok($t->wait_log(qr/upstream "model" has no room for 1 of the addresses/),
   'no room');
ok($t->wait_log(qr/"mark_balance" needs slots=10/), 'and what to do');


# --- with others --------------------------------------------------------------

addresses('model.test', 2, 3);
addresses('other.test', 3, 4);

ok($t->reload(conf("$name mark_server other.test:%%PORT_8081%% resolve;\n"
                   . 'server 127.0.0.1:%%PORT_8081%%;')), 'reload');
becomes('1 2 3 4', 'two names and an address');

$dns->set('model.test', addresses => ['127.0.0.2']);
addresses('other.test', 1, 3);
becomes('1 2 3', 'each name has its own');

my $queries = $dns->queries('other.test');

$dns->set('other.test', addresses => ['127.0.0.3']);
ok(wait_for(sub { $dns->queries('other.test') > $queries + 1 }), 'asked');
becomes('1 2 3', 'the server of the block stays');

# a name that has an address when the configuration is read

addresses('localhost', 2);
ok($t->reload(conf('mark_server localhost:%%PORT_8081%% resolve;')), 'reload');
becomes('2', 'the resolver has the last word');

# "down" and other parameters hold for each address

addresses('model.test', 1, 2);
addresses('other.test', 3);
ok($t->reload(conf('mark_server model.test:%%PORT_8081%% resolve down; '
                   . 'mark_server other.test:%%PORT_8081%% resolve;')),
   'reload');
becomes('3', 'down');

# an address is no name, and needs no resolver

ok($t->reload(conf('mark_server 127.0.0.4:%%PORT_8081%% resolve;',
                   resolver => '')), 'reload');
becomes('4', 'an address');

# IPv6 and its port

SKIP: {
    my $six = eval {
        require IO::Socket::IP;
        IO::Socket::IP->new(LocalHost => '::1', LocalPort => $t->port(8086),
                            Listen => 1);
    };

    skip 'no IPv6', 2 unless $six;
    close $six;

    $dns->set('six.test', addresses => ['::1']);

    (my $conf = conf('mark_server six.test:%%PORT_8086%% resolve;',
                     resolver => 'resolver 127.0.0.1:%%PORT_8053%%;'))
        =~ s/\}\s*\z/server { listen [::1]:%%PORT_8086%%;
                              location \/ { return 200 six; } } }\n/;

    ok($t->reload($conf), 'reload');
    ok(wait_for(sub { http_get($p, '/')->{body} eq 'six' }), 'IPv6');
}


# --- "server NAME resolve" ----------------------------------------------------

SKIP: {
    skip 'nginx has no "server NAME resolve"', 5
        unless $t->has_version('1.27.3');

    addresses('model.test', 1, 2);

    for my $zone ('', 'zone model 128k;') {
        ok($t->reload(conf("$zone server model.test:%%PORT_8081%% resolve; "
                           . 'mark_server model.test:%%PORT_8081%% price=1;')),
           "reload $zone");
        becomes('1 2', "server NAME resolve $zone");
    }

    my ($status, $said) = $t->test_conf(conf('server model.test service=http '
                                             . 'resolve;'));
    ok($status == 1 && $said =~ /"service=http" .* is not for upstreams/,
       'nginx -t: service=') or diag($said);
}


# --- nginx -t -----------------------------------------------------------------

{
    my ($status, $said) = $t->test_conf(conf($name, resolver => ''));

    ok($status == 1 && $said =~ /no resolver .* in \S+:\d+: add "resolver /,
       'nginx -t: no resolver') or diag($said);

    (my $conf = conf($name)) =~ s/mark_balance [^;]*;//;
    ($status, $said) = $t->test_conf($conf);

    ok($status == 1 && $said =~ /"mark_server" .* needs "mark_balance".*:\d+/,
       'nginx -t: no mark_balance') or diag($said);

    ($status, $said) = $t->test_conf(conf('mark_server model.test:x resolve;'));
    ok($status == 1 && $said =~ /invalid port in "mark_server model\.test:x"/,
       'nginx -t: no port') or diag($said);
}

$t->finish;
$_->stop for values %backends;

done_testing();
