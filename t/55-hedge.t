#!/usr/bin/perl

# mark_hedge: a batch that is not answered in time is sent to another server
# as well, and the first usable answer is everybody's.
#
# Most servers here are sockets of the test itself, which so decides who says
# what when.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::Mark;
use Test::Mark::HTTP;

use constant { WORKERS => 2, LARGE => 3_000_000 };

my $t = Test::Mark->new(workers => WORKERS);

my $p = $t->port(8080);
my $one = listener(8081);
my $two = listener(8082);
my $learned = $t->backend(8083, delay => 0.005);
my $other = $t->backend(8084);
my $hanging = $t->backend(8085, hang => 1);

my $moody = sub {
    my ($req) = @_;

    return {
        delay => rand(0.04),
        rand() < 0.1 ? (status => 500, body => '{}')
        : rand() < 0.1 ? (close_before => 1)
        : rand() < 0.1 ? (cut => 90, reset => 1)
        : rand() < 0.1 ? (dribble => 20)
        : rand() < 0.1 ? (status => 400, body => '{"error": "bad"}') : (),
    };
};

$t->backend($_, handler => $moody) for 8086 .. 8088;

# Who is a backup is asked second.

my $servers = 'server 127.0.0.1:%%PORT_8081%% max_fails=0;
               server 127.0.0.1:%%PORT_8082%% max_fails=0 backup;';

$t->conf(<<"EOC")->run;
%%GLOBALS%%

events { }

http {
    %%HTTP%%

    log_format hedges '\$request_uri \$status \$mark_hedged '
                      'n=\$mark_batch_size [\$upstream_addr]';
    access_log %%DIR%%/access.log hedges;

    upstream two { mark_balance slo retries=100; $servers }
    upstream none { mark_balance slo retries=0%; $servers }

    upstream few {
        mark_balance slo retries=1%;
        server 127.0.0.1:%%PORT_8085%% max_fails=0;
        server 127.0.0.1:%%PORT_8084%% max_fails=0 backup;
    }

    upstream three {
        mark_balance slo retries=100;
        server 127.0.0.1:%%PORT_8081%% max_fails=0;
        server 127.0.0.1:%%PORT_8098%% max_fails=0 backup;
        server 127.0.0.1:%%PORT_8082%% max_fails=0 backup;
    }

    upstream busy {
        mark_balance slo retries=100;
        server 127.0.0.1:%%PORT_8081%% max_fails=0;
        server 127.0.0.1:%%PORT_8082%% max_fails=0 max_conns=1 backup;
    }

    upstream moody {
        mark_balance slo retries=100;
        server 127.0.0.1:%%PORT_8086%% max_fails=0;
        server 127.0.0.1:%%PORT_8087%% max_fails=0;
        server 127.0.0.1:%%PORT_8088%% max_fails=0;
        keepalive 4;
    }

    upstream single {
        mark_balance slo retries=100;
        server 127.0.0.1:%%PORT_8081%% max_fails=0;
    }

    upstream known {
        mark_balance slo retries=100;
        server 127.0.0.1:%%PORT_8083%%;
        server 127.0.0.1:%%PORT_8084%% backup;
    }

    proxy_http_version 1.1;
    proxy_set_header Connection "";
    client_max_body_size 16m;
    client_body_buffer_size 4m;

    mark_max_batch_size 2;

    server {
        listen 127.0.0.1:%%PORT_8080%% reuseport;

        mark_hedge 100ms;

        location /two {
            mark_batch v1;
            proxy_pass http://two;
        }

        location /pair {
            mark_batch v1;
            mark_max_queue_delay 30s;
            mark_max_batch_bytes 8m;
            proxy_pass http://two;
        }

        location /kept {
            mark_batch v1;
            proxy_ignore_client_abort on;
            proxy_pass http://two;
        }

        location /again {
            mark_batch v1;
            proxy_next_upstream error http_500 non_idempotent;
            proxy_pass http://two;
        }

        location /three {
            mark_batch v1;
            proxy_pass http://three;
        }

        location /busy {
            mark_batch v1;
            mark_max_queue_delay 1ms;
            proxy_pass http://busy;
        }

        location /quick {
            mark_batch v1;
            mark_hedge 1h;
            proxy_pass http://two;
        }

        location /late {
            mark_batch v1;
            mark_slo 10ms;
            proxy_read_timeout 500ms;
            proxy_pass http://two;
        }

        location /off {
            mark_batch v1;
            mark_hedge off;
            proxy_read_timeout 500ms;
            proxy_pass http://two;
        }

        location /none {
            mark_batch v1;
            proxy_read_timeout 500ms;
            proxy_pass http://none;
        }

        location /single {
            mark_batch v1;
            proxy_read_timeout 500ms;
            proxy_pass http://single;
        }

        location /few {
            mark_batch v1;
            mark_max_batch_size 1;
            mark_max_queue_delay 1ms;
            proxy_pass http://few;
        }

        location /moody {
            mark_batch v1;
            mark_hedge 10ms;
            mark_max_batch_size 4;
            mark_max_queue_delay 2ms;
            proxy_next_upstream error http_500 non_idempotent;
            proxy_pass http://moody;
        }

        location /known {
            mark_batch v1;
            mark_hedge auto;
            proxy_pass http://known;
        }

        location = /pid { access_log off; return 200 \$pid; }
        location = /mark_status { access_log off; mark_status; }
    }
}
EOC

$t->allow(qr/\[error\]/);

my ($c, $d, $r, $s, $a, $b, @c, @r, $before);

# The second is the faster one.

($c, $a, $b) = hedged('/two/won', '[ 1.0 , "a" ]');
is($b->{body}, $a->{body}, 'won: the same was sent');
answer($b, '{"predictions": [[ 1.0 ,  2e0 ]]}');
$r = $c->response;
is("$r->{status} $r->{body}", '200 {"predictions": [[ 1.0 ,  2e0 ]]}',
    'won: its answer');
ok(gone($a), 'won: the other one is given up');
like(logged('/two/won'), qr/ 200 won n=1 \[127.0.0.1:${\$two->sockport}\]$/,
    'won: the log');
is(pool('two')->{hedged}, 1, 'won: counted');

# The first is.

($c, $a, $b) = hedged('/two/lost', '[2]');
answer($a, '{"predictions": [2]}');
$r = $c->response;
is("$r->{status} $r->{body}", '200 {"predictions": [2]}', 'lost: the answer');
ok(gone($b), 'lost: the hedge is given up');
like(logged('/two/lost'), qr/ 200 lost n=1 \[127.0.0.1:${\$one->sockport}\]$/,
    'lost: the log');

# It is so fast that there is none.

$before = pool('two')->{hedged};
$c = client();
ask($c, '/quick/none', '[3]');
answer(request($one), '{"predictions": [3]}');
is($c->response->{body}, '{"predictions": [3]}', 'quick: answered');
like(logged('/quick/none'), qr/ 200 - n=1 /, 'quick: the log');

ask($c, '/quick/bad', '[3]');
answer(request($one), '{"error": "bad"}', 400);
$r = $c->response;
is("$r->{status} $r->{body}", '400 {"error": "bad"}', 'error: of a batch of 1');
ok(!asked($one), 'error: not asked again');
is(pool('two')->{hedged}, $before, 'quick: no hedges');

# What one cannot answer is the other's to answer.

for my $broken (0, 500, 503, 429) {
    ($c, $a, $b) = hedged("/two/first-$broken", '[4]');
    fail_with($a, $broken);
    answer($b, '{"predictions": [4]}');
    is($c->response->{status}, 200, "first $broken: answered");

    ($c, $a, $b) = hedged("/two/second-$broken", '[5]');
    fail_with($b, $broken);
    answer($a, '{"predictions": [5]}');
    is($c->response->{status}, 200, "second $broken: answered");
}

($c, $a, $b) = hedged('/two/partial', '[6]');
$a->{socket}->syswrite("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n"
    . "Connection: close\r\n\r\n{\"pre");
answer($b, '{"predictions": [6]}');
is($c->response->{body}, '{"predictions": [6]}', 'partial: the whole one');
ok(gone($a), 'partial: the other one is given up');

# Neither can: it is the first one's error, whoever was the last.

($c, $a, $b) = hedged('/two/fail', '[7]');
fail_with($a, 0);
answer($b, '{"error": "no"}', 500);
is($c->response->{status}, 502, 'both fail: 502');

($c, $a, $b) = hedged('/two/fail', '[7]');
fail_with($b, 0);
answer($a, '{"error": "first"}', 503);
$r = $c->response;
is("$r->{status} $r->{body}", '503 {"error": "first"}', 'both fail: 503');

# No server has it twice, however often others may be tried.

$before = pool('two')->{retried};
($c, $a, $b) = hedged('/again', '[8]');
fail_with($a, 0);
answer($b, '{"predictions": [8]}');
is($c->response->{status}, 200, 'again: answered');

($c, $a, $b) = hedged('/again', '[9]');
answer($b, '{"error": "no"}', 500);
fail_with($a, 0);
is($c->response->{status}, 502, 'again: 502');
ok(!asked($one) && !asked($two), 'again: by nobody twice');
is(join(' ', map { $_->{in_flight} } @{pool('two')->{servers}}), '0 0',
    'again: nothing left');

# A hedge that is refused goes to who is left.

($c, $a, $b) = hedged('/three', '[10]');
answer($b, '{"predictions": [10]}');
is($c->response->{status}, 200, 'three: answered');
my $nobody = $t->port(8098);
like(logged('/three'), qr/ 200 won n=1 \[127.0.0.1:$nobody, 127[^,]*\]$/,
    'three: one after the other');
is(join(' ', map { pool('three')->{$_} } qw(hedged retried)), '1 1',
    'three: each out of the budget');

# One that has as many as it takes is waited for.

($c, $a, $b) = hedged('/busy', '[10]');
$d = client();
ask($d, '/busy', '[11]');
my $late = request($one);
select undef, undef, undef, 0.3;    # its hedge is due
is(pool('busy')->{hedged}, 1, 'busy: one hedge');
answer($b, '{"predictions": [10]}');
is($c->response->{status}, 200, 'busy: the one is answered');
answer(request($two), '{"predictions": [11]}');
is($d->response->{body}, '{"predictions": [11]}', 'busy: then the other');
is(pool('busy')->{hedged}, 2, 'busy: by a hedge of its own');
ok(gone($late), 'busy: nothing left');

# A client's fault is no reason to wait.

($c, $a, $b) = hedged('/two/bad', '[10]');
answer($b, '{"error": "bad"}', 400);
is($c->response->{status}, 400, 'bad: 400');
ok(gone($a), 'bad: the other one is given up');

# Two clients, of two workers; then all leave, one leaves.

for my $first (0, 1) {
    @c = pair("/pair/share-$first", '[11]', '["x" ]');
    ($a, $b) = both();
    is($a->{body}, $b->{body}, 'pair: the same');
    answer($first ? $a : $b, echo($a));
    @r = map { $_->response } @c;
    is(join(' ', map { $_->{body} } @r),
        '{"predictions": [[11]]} {"predictions": [["x" ]]}',
        'pair: each has its own');
    ok(gone($first ? $b : $a), 'pair: the other one is given up');
}

@c = pair('/pair/all', '[12]', '[13]');
($a, $b) = both();
$_->close for @c;
ok(gone($a) && gone($b), 'all leave: both are given up');

for my $i (0, 1) {
    @c = pair("/pair/one-$i", '[14]', '[15]');
    ($a, $b) = both();
    $c[$i]->close;
    answer($b, echo($b));
    is($c[1 - $i]->response->{body},
        '{"predictions": [[' . ($i ? 14 : 15) . ']]}',
        'one leaves: the other is answered');
    ok(gone($a), 'one leaves: the other server is given up');
}

@c = pair('/pair/after', '[16]', '[17]');
($a, $b) = both();
fail_with($a, 0);
$_->close for @c;
ok(gone($b), 'all leave after an error: given up');

# proxy_ignore_client_abort: the first to answer ends it.

($c, $a, $b) = hedged('/kept', '[18]');
$c->close;
ok($t->reached('/kept', aborted => 1), 'kept: gone');
answer($b, '{"predictions": [18]}');
ok(gone($a), 'kept: the other one is given up then');

# Large ones.

@c = pair('/pair/large', '"' . 'a' x LARGE . '"', '"' . 'b' x LARGE . '"');
($a, $b) = both();
is(length($b->{body}), length($a->{body}), 'large: the same');
answer($b, echo($b));
@r = map { $_->response } @c;
ok($r[0]{body} eq '{"predictions": ["' . 'a' x LARGE . '"]}', 'large: one');
ok($r[1]{body} eq '{"predictions": ["' . 'b' x LARGE . '"]}', 'large: other');

# A reload, and the old worker's end, with a hedge in flight or to come.

my @old = $t->workers;
($c, $a, $b) = hedged('/two/reload', '[19]');
$d = client();
ask($d, '/quick/reload', '[20]');
my $quick = request($one);
ok($t->reload, 'reload');
answer($b, '{"predictions": [19]}');
answer($quick, '{"predictions": [20]}');
is($c->response->{body}, '{"predictions": [19]}', 'reload: answered');
is($d->response->{body}, '{"predictions": [20]}',
    'reload: and what would be hedged in an hour');
ok($t->wait_gone(@old), 'reload: the old workers leave');

@old = $t->workers;
$c = client();
ask($c, '/two/coming', '[21]');
$a = request($one);
ok($t->reload, 'coming: reload');
$b = request($two);
answer($b, '{"predictions": [21]}');
is($c->response->{body}, '{"predictions": [21]}', 'coming: answered');
ok($t->wait_gone(@old), 'coming: the old workers leave');

# None: too late, turned off, out of budget, nobody else.

$before = pool('two')->{hedged};

for my $where (qw(late off none single)) {
    $c = client();
    ask($c, "/$where", '[22]');
    $a = request($one);
    is($c->response->{status}, 504, "$where: 504");
    ok(!asked($two), "$where: no hedge");
}

is(pool('two')->{hedged}, $before, 'none: not counted');
is(pool('none')->{hedged} . ' ' . pool('none')->{retry_refused}, '0 1',
    'none: but refused');
is(pool('single')->{hedged} . ' ' . pool('single')->{retry_refused}, '0 0',
    'single: nothing to ask for');

# As many as the budget has.

@c = map { client() } 1 .. 30;
ask($c[$_], "/few/$_", "[$_]") for 0 .. 29;
ok(wait_for(sub {
    my $few = pool('few');
    $few->{hedged} + $few->{retry_refused} == 30;
}), 'few: hedged or refused');
$s = pool('few');
cmp_ok($s->{hedged}, '>=', 1, 'few: some');
cmp_ok($s->{retry_refused}, '>=', 10, 'few: not many');
ok($other->wait_requests($s->{hedged}), 'few: they are answered');
$_->close for @c;
ok(wait_for(sub { in_flight('few') == 0 }), 'few: nothing left');

# Servers of all moods, clients that leave.  What is tried again alone, after a
# batch, may be cut off as the server cut it.

my $storm = $ENV{MARK_TEST_STORM} || 300;

@r = http_many([map { {
    method => 'POST', uri => '/moody', body => "{\"instances\": [$_]}",
    $_ % 7 ? () : (leave => $_ % 5 / 100, how => $_ % 2 ? 'reset' : 'close'),
} } 1 .. $storm], port => $p, concurrency => 20);

my @wrong = grep {
    $r[$_]{status} == 200 && $r[$_]{complete}
        && $r[$_]{body} ne '{"predictions": [' . ($_ + 1) . ']}'
} 0 .. $#r;
is("@wrong", '', 'moody: each has its own');
cmp_ok(scalar(grep { $_->{status} == 200 } @r), '>=', $storm / 3,
    'moody: most are answered');
cmp_ok(pool('moody')->{hedged}, '>=', 10, 'moody: by hedges');
ok(wait_for(sub { in_flight('moody') == 0 }), 'moody: nothing left');

# By what was learned; who is so often beaten has no more for a while.

http_post($p, '/known', '{"instances": [1]}') for 1 .. 20;
$learned->freeze;

$before = pool('known')->{hedged};
$r = http_post($p, '/known', '{"instances": [23]}');
is("$r->{status} $r->{body}", '200 {"predictions": [23]}', 'auto: answered');
cmp_ok(pool('known')->{hedged}, '>', $before, 'auto: by a hedge');

http_post($p, "/known", '{"instances": [1]}') for 1 .. 4;
cmp_ok(pool('known')->{servers}[0]{ejections}, '>=', 1, 'auto: ejected');
$learned->resume;

ok(wait_for(sub { !grep { in_flight($_) } qw(two none few single known) }),
    'nothing left');

# Configurations.

for (['0', qr/invalid value "0" in "mark_hedge", it is "off", "auto" or a t/],
     ['x', qr/invalid value "x" in "mark_hedge"/],
     ['auto; mark_hedge off', qr/"mark_hedge" directive is duplicate/])
{
    my ($value, $message) = @$_;
    my ($status, $said) = $t->test_conf(conf("mark_hedge $value;", 'u'));

    is($status, 1, "refused: $value");
    like($said, $message, "refused: $value: message");
}

for (['off', 'u', 0], ['auto', 'p', 0], ['5ms', 'p', 0], ['auto', 'u', 1],
     ['auto', '$host', 1])
{
    my ($value, $pass, $warns) = @$_;
    my ($status, $said) = $t->test_conf(conf("mark_hedge $value;", $pass));

    is($status, 0, "accepted: $value $pass");
    is($said =~ /"mark_hedge" has no effect in location "\/": write "mark_/
       ? 1 : 0, $warns, "warns: $value $pass");
}

done_testing;


# --- servers of the test ----------------------------------------------------

sub listener {
    my ($port) = @_;

    return IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 128,
        LocalPort => $t->port($port), ReuseAddr => 1) || die "listen: $!\n";
}


# tells whether somebody has connected who was not heard

sub asked { IO::Select->new($_[0])->can_read(0) }


# the next request that comes; a large one comes in pieces

sub request {
    my ($listener) = @_;

    my $data = '';

    IO::Select->new($listener)->can_read(20) or die "no request came\n";
    my $socket = $listener->accept;

    while ($data !~ /\r\n\r\n/
           || ($data =~ /^Content-Length: (\d+)\r\n/im
               && length($data) < $1 + index($data, "\r\n\r\n") + 4))
    {
        IO::Select->new($socket)->can_read(20) or die "no whole request\n";
        sysread $socket, $data, 1 << 20, length $data
            or die "no whole request\n";
    }

    return { socket => $socket,
             body => substr $data, index($data, "\r\n\r\n") + 4 };
}


sub both { return (request($one), request($two)) }


sub answer {
    my ($request, $body, $status) = @_;

    my $bytes = sprintf "HTTP/1.1 %d Said\r\nContent-Type: application/json"
        . "\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
        $status || 200, length $body, $body;
    my $done = 0;

    while ($done < length $bytes) {
        $done += syswrite($request->{socket}, $bytes, 1 << 16, $done)
            || die "answer: $!\n";
    }
}


# an answer of this status; 0: none, the connection is reset

sub fail_with {
    my ($request, $status) = @_;

    return answer($request, '{"error": "no"}', $status) if $status;

    setsockopt $request->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
    close $request->{socket};
}


# the proxy has closed the connection

sub gone {
    my ($request) = @_;

    return IO::Select->new($request->{socket})->can_read(20)
        && !sysread $request->{socket}, my $data, 1;
}


# each row is a prediction

sub echo {
    my ($request) = @_;

    (my $body = $request->{body}) =~ s/"instances": \[(.*)\]\}$/$1/s;
    $body =~ s/^\{//;

    return "{\"predictions\": [$body]}";
}


# --- clients ----------------------------------------------------------------

sub client { Test::Mark::HTTP->new($p) }


sub ask {
    my ($c, $uri, $row) = @_;

    $c->send(method => 'POST', uri => $uri, body => "{\"instances\": [$row]}");
}


# a client whose request is with both servers

sub hedged {
    my ($uri, $row) = @_;

    my $c = client();
    ask($c, $uri, $row);

    return ($c, both());
}


# two of two workers

sub pair {
    my ($uri, @rows) = @_;

    my %of;

    until (keys %of == WORKERS) {
        my $c = client();
        $of{$c->get('/pid')->{body}} = $c;
    }

    my @c = values %of;
    ask($c[$_], $uri, $rows[$_]) for 0, 1;

    return @c;
}


# --- what is said of it -----------------------------------------------------

sub logged {
    my ($uri) = @_;

    my $found;

    wait_for(sub { ($found) = $t->access_log =~ /^(\Q$uri\E .*)$/m });

    return $found;
}


sub pool {
    my ($name) = @_;

    return (grep { $_->{upstream} eq $name } @{$t->status->{pools}})[0];
}


sub in_flight {
    my $n = 0;

    $n += $_->{in_flight} for @{pool($_[0])->{servers}};

    return $n;
}


sub conf {
    my ($hedge, $pass) = @_;

    return <<"EOC";
%%GLOBALS%%
events { }
http {
    %%HTTP%%
    upstream u { server 127.0.0.1:%%PORT_8081%%; }
    upstream p { server 127.0.0.1:%%PORT_8081%%; mark_balance slo; }
    server {
        listen 127.0.0.1:%%PORT_8080%%;
        location / { mark_batch v1; $hedge proxy_pass http://$pass; }
    }
}
EOC
}
