#!/usr/bin/perl

# mark_health: servers that fail their checks get nothing, whatever it is that
# they fail by, and have it back when they pass.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::Mark;

my $t = Test::Mark->new;

plan(skip_all => 'no module') unless $t->has_module;

my $dir = $t->dir;
my $p = $t->port(8080);

# A backend answers checks as the test last told it, by a file that is Perl.

sub sick_backend {
    my ($name, %o) = @_;

    return $t->backend($name, delay => 0.01, %o, handler => sub {
        return $_[0]{uri} =~ m!^/ready! ? do "$dir/how.$name" || {}
                                        : { body => $name };
    });
}

sub how {
    my ($name, $perl) = @_;

    $t->write_file("how.$name.new", "{ body => 'ok', status => 200, $perl }");
    rename "$dir/how.$name.new", "$dir/how.$name" or die "rename: $!\n";
}

how($_, '') for 8081, 8082;

my $a = sick_backend(8081);
my $b = sick_backend(8082);

my $server = '127.0.0.1:' . $t->port(8081);
my $tls = $t->has_option('http_ssl_module')
    && system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 "
              . "-subj /CN=model.test -addext subjectAltName=DNS:model.test "
              . "-keyout $dir/key.pem -out $dir/cert.pem "
              . ">$dir/openssl.log 2>&1") == 0;

sub conf {
    my ($upstream, $more) = @_;

    return <<"EOC" . ($more || '') . "}\n";
%%GLOBALS%%
events { }
http {
    %%HTTP%%
    proxy_next_upstream off;
    upstream two {
        $upstream
        server 127.0.0.1:%%PORT_8081%%;
        server 127.0.0.1:%%PORT_8082%%;
    }
    server {
        listen 127.0.0.1:%%PORT_8080%%;
        location / { proxy_pass http://two; }
        location = /mark_status { mark_status json; }
    }
EOC
}

my $balance = 'mark_balance slo;';
my $health = 'mark_health uri=/ready?a=1 interval=100ms timeout=200ms;';

# what has been logged of a server's state

sub said {
    my ($what, $name) = @_;

    $name = $server unless defined $name;

    my @lines = $t->log =~ /mark: server "\Q$name\E" .* is $what: (.*)$/mg;
    return @lines;
}

sub wait_said {
    my ($what, $n, $name) = @_;

    wait_for(sub { said($what, $name) >= $n });
    return scalar said($what, $name);
}

# checks that a backend has had by now

sub checks { scalar grep { $_->{uri} =~ m!^/ready! } $_[0]->requests }

sub wait_checks {
    my ($backend, $n) = @_;

    $n += checks($backend);
    return wait_for(sub { checks($backend) >= $n });
}

# is anybody connected to that port?

sub connected {
    my $to = sprintf '0100007F:%04X 01', $_[0];

    open my $f, '<', '/proc/net/tcp' or return 1;
    return scalar grep { /: \S+ $to/ } <$f>;
}

# who answers so many requests

sub served {
    my ($n) = @_;

    my %served;
    $served{http_get($p, '/')->{body}}++ for 1 .. $n;
    return join ' ', sort keys %served;
}

sub reached {
    my ($name) = @_;

    return wait_for(sub { http_get($p, '/')->{body} eq $name });
}


# --- what a check is ----------------------------------------------------------

$t->conf(conf("$health $balance"))->run;

is(wait_said('up', 1), 1, 'up');

my ($req) = $a->wait_requests(1);

is("$req->{method} $req->{uri} $req->{version}", 'GET /ready?a=1 1.1',
   'the request');
is($req->{headers}{host}, $server, 'its Host');
is($req->{headers}{connection}, 'close', 'on a connection of its own');


# --- everything that it can fail by -------------------------------------------

my $long = '"X: " . "a" x 10000';
my $many = '"X: y\r\n" x 20000';

for (['status => 503', 'status 503'],
     ['status => 404', 'status 404'],
     ['hang => 1', 'timed out'],
     ['close_before => 1', 'the response is cut short'],
     ['cut => 20', 'the response is cut short'],
     ['reset => 1', qr/^recv\(\) failed \(104: /],
     ['raw => "SSH-2.0-mark\r\n"', 'no HTTP/1.x status line'],
     ['raw => "HTTP/1.1 999 ?\r\n\r\n"', 'the status is out of range'],
     ["raw => \"HTTP/1.1 200 OK\\r\\n\" . $long", 'a line is too long'],
     ["raw => \"HTTP/1.1 200 OK\\r\\n\" . $many", 'the head is too long'],
     ["raw => \"HTTP/1.1 100 C\\r\\n\\r\\n\" x 9000", 'the head is too long'],
     ['dribble => 1, pause => 0.1', 'timed out'])
{
    my ($how, $reason) = @$_;
    my ($ups, $downs) = (scalar said('up'), scalar said('down'));

    how(8081, $how);
    wait_said('down', $downs + 1);

    my $got = (said('down'))[-1] || '';

    ok(ref $reason ? $got =~ $reason : $got eq $reason, "down: $reason")
        or diag("$how: $got");
    is(served(8), 8082, "$reason: the other serves");

    how(8081, '');
    is(wait_said('up', $ups + 1), $ups + 1, "$reason: up again");
    ok(reached(8081), "$reason: and back");
}

{
    my $downs = said('down');

    $a->stop;
    is(wait_said('down', $downs + 1), $downs + 1, 'refused: down');
    is((said('down'))[-1], 'connect() failed (111: Connection refused)',
       'and why');
    is(served(8), 8082, 'refused: the other serves');

    my $ups = said('up');

    $a->start;
    is(wait_said('up', $ups + 1), $ups + 1, 'started again: up');
    ok(reached(8081), 'started again: and back');

    $a->freeze;
    is(wait_said('down', $downs + 2), $downs + 2, 'frozen: down');
    is(served(8), 8082, 'frozen: the other serves');
    $a->resume;
    is(wait_said('up', $ups + 2), $ups + 2, 'not any more: up');
}


# a server that is up again is so in every respect, also if it was ejected for
# the requests that failed there

{
    my ($ups, $downs) = (scalar said('up'), scalar said('down'));
    my $other = '127.0.0.1:' . $t->port(8082);
    my $others = said('up', $other);

    how(8082, 'status => 500');
    wait_said('down', 1, $other);

    $a->stop;
    http_get($p, '/') for 1 .. 4;
    wait_said('down', $downs + 1);

    $a->start;
    wait_said('up', $ups + 1);
    is(served(8), 8081, 'up again: and not ejected');

    how(8082, '');
    wait_said('up', $others + 1, $other);
}


# --- what is no failure, or not yet one ---------------------------------------

{
    my $downs = said('down');

    for my $how ('status => 204', 'status => 302', 'close => 1', 'chunked => 2',
                 'raw => "HTTP/1.1 103 E\r\nX: y\r\n\r\n'
                 . 'HTTP/1.1 200 OK\r\n\r\n"',
                 'raw => "HTTP/1.0 200\n\n", then_close => 1',
                 'dribble => 9, pause => 0.01')
    {
        how(8081, $how);
        wait_checks($a, 4);
        is(scalar said('down'), $downs, "up: $how");
    }

    # the first of two failures

    my $once = "$dir/once";
    how(8081, "status => unlink('$once') ? 500 : 200");
    wait_checks($a, 1);

    $t->write_file('once', '');
    ok(wait_for(sub { !-e $once }), 'one check fails');
    wait_checks($a, 3);
    is(scalar said('down'), $downs, 'which is not enough');
}


# --- states stay --------------------------------------------------------------

{
    my $downs = said('down');

    how(8081, 'status => 500');
    wait_said('down', $downs + 1);
    wait_checks($a, 4);
    is(scalar said('down'), $downs + 1, 'what goes on is logged once');

    ok($t->reload, 'reload');
    is(served(8), 8082, 'the state is kept');
    wait_checks($a, 4);
    is(scalar said('down'), $downs + 1, 'and not logged again');

    # all are down: one of them is better than none

    how(8082, 'status => 500');
    wait_said('down', 2, '127.0.0.1:' . $t->port(8082));
    like(served(8), qr/808/, 'all down: requests go somewhere');
    how(8082, '');
    wait_said('up', 3, '127.0.0.1:' . $t->port(8082));

    # another worker takes over

    ok($t->kill_worker, 'the worker dies');
    ok(wait_checks($a, 3), 'and another one checks');
    is(served(8), 8082, 'the state is kept there, too');

    # a check that hangs keeps no worker

    ok($t->reload(conf("$balance mark_health uri=/ready?h interval=100ms "
                       . "timeout=1h;")), 'reload');
    how(8081, 'hang => 1');

    ok(wait_for(sub { grep { $_->{uri} eq '/ready?h' } $a->requests }),
       'a check hangs');

    my @old = $t->workers;

    # without checks all are as good

    ok($t->reload(conf($balance)), 'reload without mark_health');
    ok($t->wait_gone(@old), 'the old worker leaves');
    ok(reached(8081), 'what the checks said is forgotten');
    how(8081, '');
}


# --- parameters ---------------------------------------------------------------

{
    my $other = sick_backend(8083);

    how(8083, 'status => 201');

    ok($t->reload(conf("$balance mark_health uri=/ready interval=100ms "
                       . 'match=201 passes=2 fails=1 host=model.test '
                       . 'port=%%PORT_8083%%;')), 'reload');

    my ($req) = $other->wait_requests(1);

    is($req->{headers}{host}, 'model.test', 'host=');

    my $downs = said('down');

    how(8083, 'status => 200');
    is(wait_said('down', $downs + 1), $downs + 1, 'port= and match=');
    is((said('down'))[-1], 'status 200', 'and why');

    ok($t->reload(conf("$balance mark_health uri=/ready interval=100ms "
                       . 'port=%%PORT_8083%%;')), 'reload');
    $other->clear;
    ($req) = $other->wait_requests(1);
    is($req->{headers}{host}, '127.0.0.1:' . $t->port(8083),
       'Host has the port that is asked');
}

# many are spread over the interval

{
    my $many = Test::Mark::Backend->new(port => $t->port(8084),
        address => '0.0.0.0', body => 'ok');
    my $servers = join '', map {
        "server 127.1.0.$_:%%PORT_8084%%;\n"
    } 1 .. 20;

    ok($t->reload(conf('', "upstream many { mark_balance slo; mark_health "
                           . "uri=/ready interval=1h; $servers }\n")),
       'reload');

    $many->wait_requests(1);
    cmp_ok(scalar $many->requests, '<', 20, 'not all at once');

    ok($t->reload(conf('', "upstream many { mark_balance slo; mark_health "
                           . "uri=/ready interval=100ms; $servers }\n")),
       'reload');

    ok(wait_for(sub {
        my %seen = map { $_->{headers}{host} => 1 } $many->requests;
        return keys %seen == 20;
    }), 'but each in its time');

    $t->reload(conf(''));
    $many->stop;
}

# servers at a socket

{
    my $name = "unix:$dir/model.sock";

    ok($t->reload(conf('', <<"EOC")), 'reload');
    upstream local {
        mark_balance slo;
        mark_health uri=/ready interval=100ms;
        server unix:%%DIR%%/model.sock;
    }
    server {
        listen unix:%%DIR%%/model.sock;
        access_log %%DIR%%/local.log combined;
        location / { return 200 \$http_host; }
    }
EOC
    is(wait_said('up', 1, $name), 1, 'unix: up');
}


# --- TLS ----------------------------------------------------------------------

SKIP: {
    skip 'nginx without TLS, or no openssl', 12 unless $tls;

    my $secure = sub {
        my ($name, $port, $options) = @_;

        return "upstream $name {\nmark_balance slo;\nserver 127.0.0.1:$port;\n"
            . "mark_health uri=/$name interval=100ms ssl=on $options;\n}\n";
    };

    my $trusted = 'trusted_certificate=%%DIR%%/cert.pem';
    my $more = $secure->('any', '%%PORT_8443%%', '')
        . $secure->('good', '%%PORT_8444%%',
                    "ssl_verify=on $trusted host=model.test")
        . $secure->('bad', '%%PORT_8445%%',
                    "ssl_verify=on $trusted host=other.test")
        . $secure->('plain', '%%PORT_8080%%', '') . <<'EOC';
    log_format tls '<$uri $ssl_server_name>';
    server {
        listen 127.0.0.1:%%PORT_8443%% ssl;
        listen 127.0.0.1:%%PORT_8444%% ssl;
        listen 127.0.0.1:%%PORT_8445%% ssl;
        access_log %%DIR%%/tls.log tls;
        ssl_certificate cert.pem;
        ssl_certificate_key key.pem;
        location / { return 200; }
    }
EOC

    ok($t->reload(conf('', $more)), 'reload');
    is(wait_said('up', 1, '127.0.0.1:' . $t->port(8443)), 1, 'TLS: up');
    is(wait_said('up', 1, '127.0.0.1:' . $t->port(8444)), 1, 'verified: up');

    my $name = '127.0.0.1:' . $t->port(8445);

    is(wait_said('down', 1, $name), 1, 'another name: down');
    is((said('down', $name))[0], 'its certificate does not verify', 'and why');

    ok($t->wait_log(qr/upstream "plain" is down: the TLS handshake failed/),
       'no TLS: down');

    ok(wait_for(sub {
        $t->read_file('tls.log') =~ m!^</good model\.test>$!m;
    }), 'SNI is the host');
    like($t->read_file('tls.log'), qr!^</any ->$!m, 'an address is none');

    # a handshake that hangs keeps no worker

    $a->freeze;
    ok($t->reload(conf('', $secure->('ice', '%%PORT_8081%%', 'timeout=1h'))),
       'reload');
    my @old = $t->workers;
    ok(wait_for(sub { connected($t->port(8081)) }), 'a handshake hangs');
    ok($t->reload(conf('')), 'reload');
    ok($t->wait_gone(@old), 'the worker leaves');
    $a->resume;
}

# one of several processes checks, and one process for all

$t->stop;

{
    my $several = Test::Mark->new(workers => 3);

    $several->{ports} = $t->{ports};
    $a->clear;
    $several->conf(conf("$balance mark_health uri=/ready interval=1h;",
                        "proxy_cache_path %%DIR%%/cache keys_zone=c:1m;\n"))
        ->run;
    ok(wait_for(sub { checks($a) }), 'several workers: a check');
    http_many([map { { uri => '/' } } 1 .. 30], port => $p);
    is(checks($a), 1, 'and but one');
    $several->finish;
}

{
    my $single = Test::Mark->new(workers => 0);

    $single->{ports} = $t->{ports};
    $single->conf(conf("$balance $health"))->run;
    ok(wait_checks($b, 3), 'master_process off: checks');
    $single->finish;
}


# --- nginx -t -----------------------------------------------------------------

for (['mark_health;', 'invalid number of arguments'],
     ['mark_health interval=1s;', 'needs the path'],
     ['mark_health uri=ready;', 'invalid parameter "uri=ready"'],
     ['mark_health "uri=/a b";', 'invalid parameter'],
     ['mark_health uri=/ ready;', 'invalid parameter "ready"'],
     ['mark_health uri=/ interval=0;', 'invalid parameter "interval=0"'],
     ['mark_health uri=/ timeout=soon;', 'invalid parameter "timeout=soon"'],
     ['mark_health uri=/ fails=0;', 'invalid parameter "fails=0"'],
     ['mark_health uri=/ passes=-1;', 'invalid parameter "passes=-1"'],
     ['mark_health uri=/ port=65536;', 'invalid parameter "port=65536"'],
     ['mark_health uri=/ host=;', 'invalid parameter "host="'],
     ['mark_health uri=/ match=2xx;', 'invalid parameter "match=2xx"'],
     ['mark_health uri=/ match=399-200;', 'invalid parameter'],
     ['mark_health uri=/ match=100;', 'invalid parameter "match=100"'],
     ['mark_health uri=/ ssl=maybe;', 'invalid parameter "ssl=maybe"'],
     ['mark_health uri=/ ssl_verify=on;', 'mean nothing without ssl=on'],
     ['mark_health uri=/ ssl=on ssl_verify=on;', 'needs trusted_certificate',
      1],
     ['mark_health uri=/ ssl=on trusted_certificate=none;', 'none', 1],
     ['mark_health uri=/; mark_health uri=/;', 'is duplicate'])
{
    my ($line, $want, $ssl) = @$_;

    next if $ssl && !$t->has_option('http_ssl_module');

    my ($status, $said) = $t->test_conf(conf("$balance $line"));

    ok($status == 1 && $said =~ /\Q$want\E.* in \S+:\d+/, "nginx -t: $line")
        or diag($said);
}

{
    my ($status, $said) = $t->test_conf(conf($health));

    ok($status == 1
       && $said =~ /"mark_health" needs "mark_balance slo;" .* in \S+:\d+/,
       'nginx -t: mark_health alone') or diag($said);
}

done_testing();
