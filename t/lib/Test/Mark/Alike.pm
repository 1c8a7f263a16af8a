package Test::Mark::Alike;

# The promise: what a client gets from a batched location is what it would
# have got without batching.
#
#   location /plain/ { proxy_pass http://b/; }
#   location /v2/    { mark_batch v2; proxy_pass http://b; }
#
#   alike($t, 'add', \@requests, location => '/v2/');
#
# sends the requests (arguments of http_request()) one after the other to
# /plain, then all at once as they are, and compares.  Options:
#
#   location      must have made batches of more than one request of them
#   status        of all of them (200; 0: any)
#   body          sub { my ($body) = @_; ... }: what is to be compared of it
#   without       [header, ...]: need not be alike
#   concurrency   of the second time (all)
#
# Returns the answers of both times, as references to lists.

use warnings;
use strict;

use JSON::PP ();
use Test::Mark ();

use Exporter 'import';

our @EXPORT = qw(alike);

# those of the hop, and the clock
my @never = qw(server date connection);


sub alike {
    my ($t, $name, $requests, %o) = @_;

    my $port = $t->port(8080);
    my %before = counters($t, $o{location});

    my @plain = Test::Mark::http_many(
        [ map { { %$_, uri => "/plain$_->{uri}" } } @$requests ],
        port => $port, concurrency => 1, keepalive => 1);
    my @batched = Test::Mark::http_many($requests, port => $port,
                                        concurrency => $o{concurrency});

    my %without = map { $_ => 1 } @never, @{$o{without} || []};
    my $status = defined $o{status} ? $o{status} : 200;
    my @differ;

    for (0 .. $#$requests) {
        my ($want, $got) = map {
            answer($_, $o{body}, \%without)
        } $plain[$_], $batched[$_];

        push @differ, "$_: $got\nnot $want" if $got ne $want;
        push @differ, "$_: $want" if $status && $plain[$_]{status} != $status;
    }

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    Test::More::is(scalar @differ, 0, "$name: answers are alike")
        or Test::More::diag(substr $differ[0], 0, 4000);

    if ($o{location}) {
        my %after = counters($t, $o{location});
        my ($requests, $batches) = map {
            $after{$_} - $before{$_}
        } qw(requests batches);

        Test::More::cmp_ok($batches, '<', $requests, "$name: batches");
    }

    return (\@plain, \@batched);
}


sub counters {
    my ($t, $location) = @_;

    return unless $location;

    my $now = $t->location($location) || {};
    return map { $_ => $now->{$_} || 0 } qw(requests batches);
}


# as text to compare and to show

sub answer {
    my ($r, $body, $without) = @_;

    my @headers = map { "$_: $r->{headers}{$_}" }
        grep { !$without->{$_} } sort keys %{$r->{headers}};

    return join "\n", "$r->{status} $r->{complete}", @headers, '',
        $body ? $body->($r->{body}) : $r->{body};
}


1;
