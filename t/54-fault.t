#!/usr/bin/perl

# One of three equal servers, of which two can bear the load, fails, in each
# way that servers do, under an open loop: the others take over, and it is used
# again when it is well.  How long that takes is printed; with TEST_MARK_SOAK it
# is a test, too.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use POSIX ();
use Time::HiRes qw(time sleep);

use Test::Mark;

my $soak = $ENV{TEST_MARK_SOAK};
my $rate = 150;
my $slo = 0.2;
my $window = 0.25;

my $t = Test::Mark->new(log_level => 'warn');

plan(skip_all => 'no module') unless $t->has_module;

# a file tells the first server what is wrong with it

my $fault = $t->dir . '/fault';

my %how = (
    slow => { delay => 0.6 },
    reset => { reset => 1, delay => 0 },
    error => { status => 500, body => '{}' },
    long => { length => 1000 },
    short => { length => 10 },
);

my @backends = map {
    my $first = $_ == 8081;

    $t->backend($_, handler => sub {
        open my $f, '<', $fault or return { delay => 0.03 };
        my $name = $first && <$f> || '';

        # who got such an answer alone would get it from any proxy
        return { delay => 0.03 } if $name eq 'short' && @{$_[0]{rows}} < 2;

        return { delay => 0.03, %{$how{$name} || {}} };
    });
} 8081 .. 8083;

my $lines = join "\n", map { "server 127.0.0.1:%%PORT_$_%% max_conns=1;" }
    8081 .. 8083;

$t->conf(<<"EOC")->run;
%%GLOBALS%%
worker_rlimit_nofile 4096;
events { worker_connections 2048; }
http {
    %%HTTP%%

    upstream p {
        $lines
        mark_balance slo slow_start=1s;
        keepalive 16;
    }

    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_read_timeout 1s;
    mark_slo 200ms;
    mark_max_batch_size 4;

    server {
        listen 127.0.0.1:%%PORT_8080%%;

        location /retried {
            mark_batch v1;
            proxy_next_upstream error timeout http_500 non_idempotent;
            proxy_pass http://p;
        }

        location /once {
            mark_batch v1;
            proxy_pass http://p;
        }

        location = /mark_status { mark_status json; }
    }
}
EOC

# Clients that come whether the others are answered or not, for so long.

sub load {
    my ($uri, $seconds) = @_;

    my @requests = map {
        { at => $_ / $rate, method => 'POST', uri => $uri,
          body => "{\"instances\": [$_]}" }
    } 0 .. $rate * $seconds;

    return http_many(\@requests, port => $t->port(8080), keepalive => 1,
                     timeout => $seconds + 30);
}


# Of all answers: those that are wrong, and those in time of each window.

sub judge {
    my (@got) = @_;

    my (@good, @all);
    my $wrong = 0;

    for my $n (0 .. $#got) {
        my $r = $got[$n];
        my $w = int($n / $rate / $window);

        $all[$w]++;
        next if $r->{status} != 200;

        # one that broke off is seen by its client as such
        next unless $r->{complete};

        if ($r->{body} ne "{\"predictions\": [$n]}") {
            $wrong++;
            next;
        }

        # it was to leave then, whenever it did
        $good[$w]++ if $r->{start} + $r->{time} - $n / $rate <= $slo;
    }

    my @share = map { ($good[$_] || 0) / $all[$_] } 0 .. $#all;

    return ($wrong, \@share);
}

# seconds from a time until nine tenths are in time, and stay so for a second

sub recovered {
    my ($share, $from) = @_;

    for (my $w = int($from / $window); $w + 4 <= @$share; $w++) {
        next if grep { $_ < 0.9 } @$share[$w .. $w + 3];
        return $w * $window - $from;
    }

    return;
}

# which part of all batches the first server has now

sub share {
    my ($uri) = @_;

    $_->clear for @backends;
    load($uri, 0.5);

    my @n = map { scalar $_->requests } @backends;

    return $n[0] / ($n[0] + $n[1] + $n[2]);
}

# seconds from a time until the first one has a fifth of a second's batches

sub again {
    my ($from, $to, @when) = @_;

    for (my $t = $from; $t + 1 <= $to; $t += 0.25) {
        my @n = map { scalar grep { $_ >= $t && $_ < $t + 1 } @$_ } @when;
        my $all = $n[0] + $n[1] + $n[2];

        return $t + 1 - $from if $all && $n[0] / $all > 0.2;
    }

    return;
}

my ($begin, $end, $whole) = $soak ? (3, 8, 22) : (0.5, 2, 3.5);

my %faults = $soak
    ? map { ($_ => [qw(slow hang reset error long short)]) }
          qw(/retried /once)
    : ('/retried' => [qw(hang error)], '/once' => [qw(slow long short)]);

for my $uri (sort keys %faults) {
    one($uri, $_) for @{$faults{$uri}};
}


sub one {
    my ($uri, $name) = @_;

    my $what = substr($uri, 1) . ", $name";
    my $first = $backends[0];

    # all are well, and known

    unlink $fault;
    share($uri);
    $_->clear for @backends;

    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;

    my $start = time;

    if ($pid == 0) {
        sleep $begin;
        $name eq 'hang' ? kill('STOP', $first->pid)
                        : $t->write_file('fault', $name);
        sleep $end - $begin;
        $name eq 'hang' ? kill('CONT', $first->pid) : unlink $fault;
        POSIX::_exit(0);
    }

    my ($wrong, $share) = judge(load($uri, $whole));

    waitpid $pid, 0;

    my ($during, $after) = map { recovered($share, $_) } $begin, $end;
    my @when = map { [ map { $_->{time} - $start } $_->requests ] } @backends;
    my @times = @{$when[0]};

    # one that hangs reads what it got when it goes on

    my $had = grep { $_ > $begin && $_ < $end + 0.05 } @times;

    diag(sprintf '%-16s in time again %s s after its start, %s s after its '
         . 'end; %d requests while it was; %s', "$what:",
         map({ defined $_ ? $_ : 'never' } $during, $after), $had,
         join ' ', map { sprintf '%.0f', 100 * $_ } @$share);

    is($wrong, 0, "$what: no wrong answer");

    # to the balancer what cannot be split is an answer like any other

    cmp_ok($had, '<', $rate * ($end - $begin) / 6,
        "$what: most of the requests go elsewhere") if $name ne 'short';

    # while the load lasts, or after it

    my $again = again($end, $whole, @when);
    my $share_again = defined $again || wait_for(sub { share($uri) > 0.2 }, 60);

    $again = time - $start - $end unless defined $again;

    ok($share_again, "$what: the server has its share again");
    diag(sprintf '%-16s its share again %.1f s after its end', '', $again);

    if ($soak) {
        ok(defined $during && $during <= 2, "$what: in time again in 2 s");

        ok(defined $after && $after <= 10, "$what: well again in 10 s");
        cmp_ok($again, '<=', 10, "$what: its share again in 10 s");
    }
}

done_testing();
