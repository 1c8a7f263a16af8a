#!/usr/bin/perl

# mark-load: its counts add up, its checks catch wrong answers, its clock
# starts when a request was meant to leave.

use warnings;
use strict;

use FindBin;
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use POSIX qw(WNOHANG);
use Test::More;
use Time::HiRes qw(sleep time);

my $load = $ENV{TEST_MARK_LOAD} || "$FindBin::Bin/../build/mark-load";
my $nginx = $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';

plan skip_all => 'build/mark-load is not built' unless -x $load;
plan skip_all => "no $nginx" unless -x $nginx;

my $dir = tempdir('mark-load-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $main = $$;
my (@servers, $nginx_pid);

$SIG{INT} = $SIG{TERM} = sub { exit 1 };

END {
    if (defined $main && $$ == $main) {
        my $status = $?;
        kill 'TERM', grep { $_ } @servers, $nginx_pid;
        waitpid $_, 0 for grep { $_ } @servers, $nginx_pid;
        $? = $status;
    }
}

my $echo = serve(sub { my ($c, $r) = @_; answer($c, $r->{body}) });
my ($plain, $h2) = start_nginx($echo);

###############################################################################
# options

{
    my $r = load('--version');

    is($r->{rc}, 0, '--version is fine');
    is($r->{out}, "mark-load 0.1.0\n", '--version tells the version');

    $r = load('--help');

    is($r->{rc}, 0, '--help is fine');
    like($r->{out}, qr/--trace-scale/, '--help tells the options');

    my @bad = (
        [ 'no URL' ],
        [ 'one URL', $plain, $plain ],
        [ 'unrecognized', '--nonsense', $plain ],
        [ 'http://', 'https://127.0.0.1/' ],
        [ 'bad port', 'http://127.0.0.1:99999/' ],
        [ 'needs a number', '--rate', 'many', $plain ],
        [ 'must be between', '--rate', '-1', $plain ],
        [ 'whole number', '--requests', '1.5', $plain ],
        [ 'must be between', '--concurrency', '0', $plain ],
        [ 'exclude each other', '--rate', 1, '--concurrency', 1, $plain ],
        [ 'exclude each other', '--body', 'x', '--random-rows', 1, $plain ],
        [ 'exclude each other', '--expect', 'x', '--reference', $plain,
          $plain ],
        [ 'shorter than', '--duration', 1, '--warmup', 2, $plain ],
        [ '--streams needs', '--streams', 2, $plain ],
        [ 'like 200,503', '--expect-status', '200;503', $plain ],
        [ "'Name: value'", '--header', 'nonsense', $plain ],
        [ 'cannot set', '--header', 'Content-Length: 1', $plain ],
        [ '--once needs', '--once', $plain ],
        [ '--answers needs', '--answers', 'x', $plain ],
        [ 'needs more than', '--concurrency', 5, '--connections', 4, $plain ],
        [ 'No such file', '--trace', "$dir/none", $plain ],
        [ 'No such file', '--body-file', "$dir/none", $plain ],
        [ 'arrival 3', '--trace', file("0\n1\n0.5\n"), $plain ],
        [ 'no arrivals', '--trace', file("\n"), $plain ],
        [ 'without %u', '--reference', $plain, '--body', '%u', $plain ],
    );

    for (@bad) {
        my ($message, @args) = @$_;
        my $r = load(@args);

        is("$r->{rc} $r->{out}", '3 ', "refused: @args");
        like($r->{err}, qr/mark-load: .*\Q$message/, 'and told why');
    }
}

###############################################################################
# counts

{
    my $r = run($plain, '--concurrency', 8, '--requests', 2000,
                '--histogram');
    my $j = $r->{json};

    is($r->{rc}, 0, 'closed loop: no error');
    is($j->{$_}, 2000, "closed loop: $_") for qw(sent completed ok);
    is($j->{offered}{count}, 2000, 'closed loop: offered');
    is_deeply($j->{status}, { 200 => 2000 }, 'closed loop: status');
    is($j->{errors}{total}, 0, 'closed loop: errors');
    is($j->{connections}, 8, 'closed loop: connections are kept');
    ok($j->{throughput} > 0, 'closed loop: throughput');
    ok($j->{bytes_in} > 2000 * 100, 'closed loop: bytes in');
    ok($j->{bytes_out} > 2000 * 50, 'closed loop: bytes out');
    ok($j->{cpu_seconds} > 0, 'closed loop: cpu');
    is($j->{slo_ms}, undef, 'closed loop: no SLO');
    is($j->{options}{concurrency}, 8, 'closed loop: options are told');

    my $sum = 0;
    $sum += $_->[1] for @{ $j->{histogram} };
    is($sum, 2000, 'closed loop: the histogram has them all');

    my $l = $j->{latency};
    ok($l->{p50} > 0 && $l->{p50} <= $l->{p90} && $l->{p90} <= $l->{p95}
       && $l->{p95} <= $l->{p99} && $l->{p99} <= $l->{p999}
       && $l->{p999} <= $l->{max}, 'percentiles rise');
    like($r->{out}, qr/^ok 2000  wrong 0/m, 'the summary is on stdout');

    $r = load($plain, '--requests', 3, '--json', '-');
    is(eval { decode_json($r->{out})->{ok} }, 3, "--json - is on stdout");
    like($r->{err}, qr/^ok 3  wrong 0/m, 'and the summary on stderr');
}

# one request at a time needs one connection

{
    my @few = ('--concurrency', 1, '--requests', 40);

    is(run($plain, @few)->{json}{connections}, 1, 'few connections are used');

    my @open = ('--rate', 200, '--requests', 40, '--connections', 16);

    is(run($plain, @open, '--spread')->{json}{connections}, 16,
       'all connections are used in turn');
}

{
    my $r = run("$plain/503", '--requests', 10);

    is($r->{rc}, 1, 'a status that is not 200 is an error');
    is($r->{json}{errors}{status}, 10, 'which is counted');
    is_deeply($r->{json}{status}, { 503 => 10 }, 'by its status');
    is($r->{json}{ok}, 0, 'and is not ok');

    $r = run("$plain/503", '--requests', 10, '--expect-status', '200,503',
             '--slo', 10000);

    is($r->{rc}, 0, 'unless it is expected');
    is($r->{json}{allowed}, 10, 'then it is allowed');
    is($r->{json}{within_slo}, 0, 'but no goodput');

    $r = run('http://127.0.0.1:' . free_port() . '/', '--requests', 3);

    is($r->{rc}, 1, 'refused connections are errors');
    is($r->{json}{errors}{connect}, 3, 'and counted');
    is($r->{json}{offered}{count}, 3, 'like what was offered');
}

###############################################################################
# what is sent and what comes back

{
    my $r = run($echo, '--concurrency', 4, '--requests', 300, '--body',
                '{"n": %u, "again": "%u"}', '--expect',
                '{"n": %u, "again": "%u"}', '--slow', 0.1);

    is($r->{rc}, 0, 'every request has its own number, dribbled or not');
    is($r->{json}{ok}, 300, 'and every answer the right one');

    my $head = serve(sub {
        my ($c, $r) = @_;
        answer($c, "$r->{line} $r->{head}{'x-id'} $r->{head}{'content-type'}"
               . " $r->{head}{host}");
    });

    (my $host = $head) =~ s!http://!!;

    $r = run("$head/a?b=%u", '--requests', 20, '--body', 'x', '--header',
             'X-Id: <%u>', '--method', 'PUT', '--expect',
             "PUT /a?b=%u HTTP/1.1 <%u> application/json $host");
    is($r->{rc}, 0, 'method, path, headers');

    $r = run($head, '--requests', 1, '--body', 'x', '--header', 'X-Id: 1',
             '--header', 'content-type: text/x', '--header', 'Host: me',
             '--expect', 'POST / HTTP/1.1 1 text/x me');
    is($r->{rc}, 0, 'headers replace the defaults');
}

{
    my (@held, $n);

    my $mixed = serve(sub {
        my ($c, $r) = @_;

        if (++$n == 100 || $n == 101) {
            push @held, [ $c, $r->{body} ];
            return if @held < 2;

            answer($held[0][0], $held[1][1]);
            answer($held[1][0], $held[0][1]);
            return;
        }

        answer($c, $r->{body});
    });

    my $r = run($mixed, '--concurrency', 4, '--requests', 300, '--body',
                'I am %u', '--expect', 'I am %u');

    is($r->{rc}, 2, 'two answers that are mixed up are noticed');
    is($r->{json}{wrong}, 2, 'both of them');
    is($r->{json}{ok}, 298, 'and no other');
    like($r->{err}, qr/wrong answer to request \d+ .*\n.*I am \d+\n.*I am \d/,
         'and shown');
}

{
    my $lines = file(join '', map { "{\"v7\": [$_.5, -$_]}\n" } 1 .. 20);
    my $other = serve(sub {
        my ($c, $r) = @_;
        (my $body = $r->{body}) =~ s/\.5/.5004/;
        answer($c, $body);
    });
    my $shape = serve(sub {
        my ($c, $r) = @_;
        (my $body = $r->{body}) =~ s/, /,/;
        answer($c, $body);
    });

    my $names = serve(sub {
        my ($c, $r) = @_;
        (my $body = $r->{body}) =~ s/v7/v8/;
        answer($c, $body);
    });

    my @args = ('--requests-file', $lines, '--once', '--concurrency', 3,
                '--reference', $echo);
    my $r = run($echo, @args, '--answers', "$dir/answers");

    is($r->{rc}, 0, 'answers like the reference are right');
    is($r->{json}{ok}, 20, '--once sends every line once');
    is(content("$dir/answers"), content($lines), '--answers in their order');

    $r = run($other, @args);
    is($r->{json}{wrong}, 20, 'a digit more makes an answer wrong');

    $r = run($other, @args, '--tolerance', '1e-3');
    is($r->{json}{ok}, 20, '--tolerance lets it pass');

    $r = run($other, @args, '--tolerance', '1e-6');
    is($r->{json}{wrong}, 20, 'if it is large enough');

    $r = run($shape, @args, '--tolerance', 1);
    is($r->{json}{wrong}, 20, 'and for numbers only');

    $r = run($names, @args, '--tolerance', 10);
    is($r->{json}{wrong}, 20, 'not for digits in strings');

    $r = run($echo, '--requests-file', $lines, '--requests', 45,
             '--reference', $echo);
    is($r->{json}{ok}, 45, 'lines are used in turn');
}

{
    my $list = "$dir/bodies";
    my $keep = serve(sub {
        my ($c, $r) = @_;
        open my $f, '>>', $list or die;
        print $f "$r->{body}\n";
        close $f;
        answer($c, 'ok');
    });

    my @args = ($keep, '--random-rows', 2, '--random-dims', 3,
                '--random-bodies', 40, '--once');

    run(@args);
    my @bodies = split /\n/, content($list);
    my %seen = map { $_ => 1 } @bodies;

    is(scalar keys %seen, 40, '--random-bodies are all different');
    is(scalar grep({ my $j = eval { decode_json($_) };
                     $j && @{ $j->{instances} } == 2
                     && !grep { @$_ != 3 } @{ $j->{instances} } } @bodies),
       40, 'of the right shape');

    unlink $list;
    run(@args);
    is(content($list), join('', map { "$_\n" } @bodies),
       'and the same with the same seed');

    unlink $list;
    run(@args, '--seed', 7);
    isnt(content($list), join('', map { "$_\n" } @bodies),
         'but not with another');
}

{
    my $n = 0;
    my $forms = serve(sub {
        my ($c, $r) = @_;
        my $b = $r->{body};

        if (++$n % 3 == 0) {
            send_all($c, "HTTP/1.1 200 OK\r\n\r\n$b");
            return 'close';
        }

        return answer($c, $b) if $n % 3 == 1;

        send_all($c, "HTTP/1.1 100 Continue\r\n\r\n");
        send_all($c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                 . join('', map { "1\r\n$_\r\n" } split //, $b)
                 . "0\r\n\r\n");
    });

    my $r = run($forms, '--requests', 30, '--body', '<%u>', '--expect',
                '<%u>');

    is($r->{rc}, 0, 'with length, chunked and until the close');
    is($r->{json}{connections}, 10, 'a closed connection is made again');
}

###############################################################################
# connections that end

{
    my %served;
    my $once = serve(sub {
        my ($c, $r) = @_;
        return 'close' if $served{$c}++;
        answer($c, 'ok');
    }, sub { delete $served{$_[0]} });

    my $r = run($once, '--requests', 20);

    is($r->{rc}, 0, 'a request that meets a closing connection is repeated');
    is($r->{json}{ok}, 20, 'with success');
    is($r->{json}{reconnects}, 19, 'and counted');

    $r = run($once, '--requests', 20, '--no-retry-closed');

    is($r->{rc}, 1, '--no-retry-closed makes it an error');
    is($r->{json}{errors}{closed}, 10, 'of its kind');

    my $never = serve(sub { 'close' });
    $r = run($never, '--requests', 5);
    is($r->{json}{errors}{closed}, 5, 'a new connection is not repeated');

    my $bad = serve(sub { send_all($_[0], "nonsense\r\n\r\n"); 0 });
    $r = run($bad, '--requests', 5);
    is($r->{json}{errors}{malformed}, 5, 'what is not HTTP is malformed');

    my $hang = serve(sub { 0 });
    $r = run($hang, '--requests', 5, '--rate', 1000, '--connections', 2,
             '--timeout', 0.4);
    is($r->{rc}, 1, 'no answer in time is an error');
    is($r->{json}{errors}{timeout}, 2, 'for what was sent');
    is($r->{json}{errors}{unsent}, 3, 'and for what was not');
    is(sum_of($r->{json}), 5, 'and nothing is lost');
}

for my $case ([ 'h1', $plain ], [ 'h2', $h2, '--http2' ],
              [ 'h1, late answers', late(0.03) ])
{
    my ($name, $url, @args) = @$case;
    my $r = run($url, '--concurrency', 10, '--requests', 400, '--abort', 0.5,
                '--slow', 0.2, '--body', 'x' x 3000, @args);
    my $j = $r->{json};

    is($r->{rc}, 0, "$name: clients that vanish are no errors");
    ok($j->{aborted} > 50, "$name: they are counted");
    is($j->{aborted} + $j->{ok}, 400, "$name: the others are served");
}

###############################################################################
# arrivals

{
    my @at = map { $_ * 0.01 } 0 .. 30;
    my $trace = file(join '', map { "$_\n" } @at);
    my $r = run($plain, '--trace', $trace);

    is($r->{json}{offered}{count}, 31, 'trace: all arrivals');
    near($r->{json}{offered}{seconds}, 0.3, 0.001, 'trace: its length');

    $r = run($plain, '--trace', $trace, '--trace-scale', 2);
    near($r->{json}{offered}{seconds}, 0.6, 0.001, 'trace: stretched');

    $r = run($plain, '--trace', $trace, '--duration', 0.105);
    is($r->{json}{offered}{count}, 11, 'trace: cut off');

    $r = run($plain, '--rate', 500, '--uniform', '--duration', 0.5);
    is($r->{json}{offered}{count}, 250, 'uniform: a request every 2 ms');
    near($r->{json}{offered}{rate}, 500, 1, 'uniform: rate');

    $r = run($plain, '--rate', 100, '--uniform', '--duration', 0.6,
             '--warmup', 0.2);
    near($r->{json}{offered}{count}, 40, 1, 'warmup is not counted');
    near($r->{json}{warmup}{offered}, 20, 1, 'but told');
    near($r->{json}{offered}{rate}, 100, 3, 'and does not change the rate');

    my $one = run($plain, '--rate', 2000, '--duration', 1, '--seed', 3);
    my $two = run($plain, '--rate', 2000, '--duration', 1, '--seed', 3);
    my $three = run($plain, '--rate', 2000, '--duration', 1, '--seed', 4);
    my @n = map { $_->{json}{offered}{count} } $one, $two, $three;

    near($n[0], 2000, 225, 'Poisson: the mean rate, within five sigma');
    is($n[1], $n[0], 'Poisson: the same with the same seed');
    isnt($n[2], $n[0], 'Poisson: another with another');
    is(sum_of($one->{json}), $n[0], 'Poisson: nothing is lost');
}

{
    my $stall = sub {
        my $n = 0;
        serve(sub { sleep 1 if ++$n == 100; answer($_[0], 'ok') });
    };

    my $closed = run($stall->(), '--requests', 500);
    my $open = run($stall->(), '--rate', 200, '--requests', 500, '--slo', 100,
                   '--connections', 2);

    ok($closed->{json}{latency}{p99} < 500,
       'a stall of a second is one slow request in a closed loop');
    ok($open->{json}{latency}{p99} > 500,
       'and many in an open one: no coordinated omission');
    is($open->{json}{ok}, 500, 'which are all answered');
    ok($open->{json}{within_slo} < 450, 'but some without the SLO');
    ok($open->{json}{goodput} < $open->{json}{offered}{rate},
       'so goodput is less than the rate');

    # those after it find no connection

    my $lag = $open->{json}{lag};

    ok($lag->{max} > 500, 'requests that left late are told of');
    ok($lag->{p50} <= $lag->{p99} && $lag->{p99} <= $lag->{max},
       'percentiles of the lag rise');
    ok($lag->{max} < $open->{json}{latency}{max},
       'and it is a part of the latency');
    like($open->{out}, qr/^lag ms      p99 [\d.]+  max [\d.]+$/m,
         'the summary has it');
    ok($closed->{json}{lag}{max} < 500,
       'in a closed loop a request leaves when it may');
}

###############################################################################
# HTTP/2

{
    my $r = run($h2, '--http2', '--concurrency', 20, '--streams', 10,
                '--requests', 1000, '--expect', "hello\n");
    my $j = $r->{json};

    is($r->{rc}, 0, 'h2: no error');
    is($j->{ok}, 1000, 'h2: all are answered');
    is($j->{errors}{total}, 0, 'h2: although nginx ends a connection after'
       . ' 300 requests');
    ok($j->{connections} > 2, 'h2: new connections are made');
    is($j->{options}{protocol}, 'h2', 'h2: told in the report');

    my $body = 'y' x 100_000;

    $r = run("$h2/echo", '--http2', '--concurrency', 8, '--requests', 100,
             '--body', "%u$body%u", '--expect', "%u$body%u", '--slow', 0.1,
             '--header', 'X-Id: %u');
    is($r->{rc}, 0, 'h2: large bodies, dribbled or not');

    $r = run($h2, '--http2', '--rate', 500, '--requests', 250,
             '--connections', 2);
    is($r->{json}{ok}, 250, 'h2: open loop');

    $r = run($plain, '--http2', '--requests', 5);
    is($r->{json}{errors}{malformed}, 5, 'h2: not spoken there');
}

###############################################################################
# the end

{
    my $file = "$dir/interrupted";
    my $pid = start("$dir/int.out", "$dir/int.err", $load, $plain, '--rate',
                    200, '--duration', 60, '--progress', '--json', $file);

    sleep 1.6;
    kill 'INT', $pid;
    waitpid $pid, 0;

    is($? >> 8, 0, 'an interrupt ends the run');

    my $j = decode_json(content($file));

    ok($j->{offered}{seconds} < 30, 'early');
    ok($j->{ok} > 50, 'with a report');
    is(sum_of($j), $j->{offered}{count}, 'that adds up');
    like(content("$dir/int.err"), qr/^ +1 s  sent \d+.s  done \d+.s  in flight/,
         'after lines of progress');
}

done_testing();

###############################################################################

# runs mark-load to its end

sub load {
    my @args = @_;

    my $pid = start("$dir/out", "$dir/err", $load, @args);
    my $until = time + 20;
    my $done;

    until ($done = waitpid $pid, WNOHANG) {
        if (time > $until) {
            kill 'KILL', $pid;
            waitpid $pid, 0;
            fail("in time: @args");
            last;
        }

        sleep 0.01;
    }

    my $rc = $? & 127 ? "signal $?" : $? >> 8;

    return { rc => $rc, out => content("$dir/out"),
             err => content("$dir/err") };
}

sub run {
    my $file = "$dir/report";

    unlink $file;

    my $r = load(@_, '--json', $file);
    $r->{json} = -e $file ? eval { decode_json(content($file)) } : undef;

    unless ($r->{json}) {
        fail("a report: @_");
        diag($r->{err});
        $r->{json} = {};
    }

    return $r;
}

sub start {
    my ($out, $err, @command) = @_;

    my $pid = fork;
    die "fork: $!" unless defined $pid;
    return $pid if $pid;

    undef $main;
    open STDOUT, '>', $out or die;
    open STDERR, '>', $err or die;
    exec { $command[0] } @command or POSIX::_exit(127);
}

sub content {
    my ($path) = @_;
    local $/;
    open my $f, '<', $path or return '';
    return scalar <$f> // '';
}

my $files;

sub file {
    my ($text) = @_;
    my $path = "$dir/file" . ++$files;
    open my $f, '>', $path or die;
    print $f $text;
    close $f;
    return $path;
}

sub near {
    my ($got, $want, $off, $name) = @_;
    ok(abs(($got // 'nan') - $want) <= $off, $name)
        or diag("got $got, wanted $want");
}

# all that can become of a request

sub sum_of {
    my ($j) = @_;
    return $j->{ok} + $j->{wrong} + $j->{allowed} + $j->{errors}{total}
        + $j->{aborted} + $j->{interrupted};
}

sub free_port {
    my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
        or die;
    return $s->sockport;
}

sub send_all {
    my ($c, $data) = @_;

    while (length $data) {
        my $n = syswrite $c, $data;
        return unless defined $n;
        substr($data, 0, $n, '');
    }
}

sub answer {
    my ($c, $body) = @_;
    send_all($c, "HTTP/1.1 200 OK\r\nContent-Length: " . length($body)
             . "\r\n\r\n$body");
    return 0;
}

# one process, one request after the other; the handler says 'close' to close

sub serve {
    my ($handler, $gone) = @_;

    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       Listen => 512) or die;
    my $url = 'http://127.0.0.1:' . $listen->sockport;
    my $pid = fork;

    die "fork: $!" unless defined $pid;

    if ($pid) {
        push @servers, $pid;
        return $url;
    }

    undef $main;
    $SIG{TERM} = 'DEFAULT';
    $SIG{PIPE} = 'IGNORE';

    my $select = IO::Select->new($listen);
    my %buffer;

    while (1) {
        for my $c ($select->can_read) {
            if ($c == $listen) {
                my $new = $listen->accept or next;
                $buffer{$new} = '';
                $select->add($new);
                next;
            }

            my $n = sysread $c, $buffer{$c}, 65536, length $buffer{$c};
            my $close = !$n;

            while (!$close && $buffer{$c} =~ /\r\n\r\n/) {
                my $at = $+[0];
                my ($line, @head) = split /\r\n/, substr $buffer{$c}, 0, $at;
                my %head = map { /^(.*?): *(.*)/ ? (lc $1, $2) : () } @head;
                my $len = $head{'content-length'} || 0;

                last if length $buffer{$c} < $at + $len;

                my $body = substr $buffer{$c}, $at, $len;
                substr $buffer{$c}, 0, $at + $len, '';

                my $rc = $handler->($c, { line => $line, head => \%head,
                                          body => $body });
                $close = defined $rc && $rc eq 'close';
            }

            if ($close) {
                $select->remove($c);
                delete $buffer{$c};
                $gone->($c) if $gone;
                close $c;
            }
        }
    }
}

# answers after some time, but whoever else came then as well

sub late {
    my ($seconds) = @_;
    return serve(sub { sleep $seconds / 10; answer($_[0], 'late') });
}

sub start_nginx {
    my ($backend) = @_;
    my ($one, $two) = (free_port(), free_port());

    open my $f, '>', "$dir/nginx.conf" or die;
    print $f <<"EOC";
daemon off;
pid $dir/nginx.pid;
error_log $dir/error.log warn;
worker_processes 1;

events {
    worker_connections 512;
}

http {
    access_log off;
    client_body_temp_path $dir/client;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    client_max_body_size 10m;
    client_body_buffer_size 1m;
    keepalive_requests 300;

    server {
        listen 127.0.0.1:$one;
        keepalive_requests 100000;

        location / {
            return 200 "hello\\n";
        }

        location /503 {
            return 503;
        }
    }

    server {
        listen 127.0.0.1:$two http2;

        location / {
            return 200 "hello\\n";
        }

        location /echo {
            proxy_pass $backend;
        }
    }
}
EOC
    close $f;

    $nginx_pid = start("$dir/nginx.out", "$dir/nginx.err", $nginx, '-p', $dir,
                       '-e', "$dir/error.log", '-c', "$dir/nginx.conf");

    for (1 .. 200) {
        last if IO::Socket::INET->new(PeerAddr => "127.0.0.1:$two");
        sleep 0.02;
    }

    return ("http://127.0.0.1:$one", "http://127.0.0.1:$two");
}
