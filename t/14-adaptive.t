#!/usr/bin/perl

# mark_max_queue_delay auto, before backends whose time for a batch is known:
# batches fill behind what is in flight, a backend that gains nothing from
# batches is not made to wait, and one request that hangs holds up nobody.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Time::HiRes qw(time sleep);

use Test::Mark;

my $t = Test::Mark->new;

plan(skip_all => 'no module') unless $t->has_module;

# a serial backend: 20 ms a batch, however many rows

$t->backend(8081, serial => 1, delay => 0.02);

# one that takes 30 ms a row, and serves all at once

$t->backend(8082, delay => sub { 0.030 * @{$_[0]{rows}} });

# one that never answers "hang"

my $hang = $t->backend(8083, delay => 0.005, handler => sub {
    return $_[0]{body} =~ /hang/ ? { hang => 1 } : ();
});

$t->conf(<<'EOC')->run;
%%GLOBALS%%
events { }
http {
    %%HTTP%%
    server {
        listen 127.0.0.1:%%PORT_8080%%;
        mark_max_batch_size 16;
        location /serial {
            mark_batch v1;
            proxy_pass http://127.0.0.1:%%PORT_8081%%;
        }
        location /rows {
            mark_batch v1;
            proxy_pass http://127.0.0.1:%%PORT_8082%%;
        }
        location /hang {
            mark_batch v1;
            proxy_pass http://127.0.0.1:%%PORT_8083%%;
        }
        location = /mark_status { mark_status json; }
    }
}
EOC

my $port = $t->port(8080);


# closed loop: each of n clients sends its next request when it has an answer

sub clients {
    my ($uri, $n, $each, $rows) = @_;

    my $id = 0;
    my @c = map { Test::Mark::HTTP->new($port) } 1 .. $n;
    my $bad = 0;

    for (1 .. $each) {
        my @want;

        for my $c (@c) {
            my @rows = map { "[" . ++$id . ", 1.0]" } 1 .. ($rows || 1);
            push @want, '{"predictions": [' . join(', ', @rows) . ']}';
            $c->send(method => 'POST', uri => $uri,
                     body => '{"instances": [' . join(', ', @rows) . ']}');
        }

        for my $i (0 .. $#c) {
            my $r = $c[$i]->response;
            $bad++ unless $r->{status} == 200 && $r->{body} eq $want[$i];
        }
    }

    return $bad;
}


is(clients('/serial', 16, 20), 0, 'serial: right answers');

my $l = $t->location('/serial');

is($l->{requests}, 320, 'serial: all queued');
cmp_ok($l->{rows} / $l->{batches}, '>', 5,
       "serial: $l->{batches} batches fill behind one in flight");

# answers of different sizes show what a row costs: all of it

is(clients('/rows', 2, 6), 0, 'rows: right answers');
is(clients('/rows', 3, 6, 2), 0, 'rows: of two rows');
is(clients('/rows', 6, 8), 0, 'rows: six at once');

$l = $t->location('/rows');

cmp_ok($l->{dispatched}{no_gain}, '>', 0,
       "rows: $l->{dispatched}{no_gain} did not wait");

# the first request hangs; those behind it wait once, not for each batch

is(clients('/hang', 4, 5), 0, 'hang: before');

my $before = $t->location('/hang');

my $victim = Test::Mark::HTTP->new($port);
$victim->send(method => 'POST', uri => '/hang',
              body => '{"instances": ["hang"]}');
sleep 0.1;

is(clients('/hang', 4, 20), 0, 'hang: those behind it are answered');

$l = $t->location('/hang');

my %since = map { $_ => $l->{dispatched}{$_} - $before->{dispatched}{$_} }
    qw(idle overdue);

cmp_ok($since{overdue}, '>=', 1, 'hang: overdue');
cmp_ok($since{idle}, '>', $since{overdue},
       "hang: then as before: $since{idle} idle, $since{overdue} overdue");

is($t->location('/hang')->{in_flight}, 1, 'hang: still in flight');
$victim->close;

ok(wait_for(sub { $t->location('/hang')->{in_flight} == 0 }),
   'hang: gone with its client');

done_testing();
