#!/usr/bin/perl

# What joining and splitting cost, codec by codec.
#
# GB/s of each stage beside memcpy of the same bytes, and how many times a
# batch's bytes are passed over in all, in units of one validating scan of
# them.
#
#   ./run bench codec [--requests N] [--bytes N] [--repeats N]
#
# Medians go to stdout, all runs to build/bench/codec.json.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Getopt::Long;
use Mark::Bench qw(median table write_json);

my ($requests, $bytes, $repeats) = (32, 1 << 20, 11);

GetOptions('requests=i' => \$requests, 'bytes=i' => \$bytes,
           'repeats=i' => \$repeats) && !@ARGV
    or die "usage: codec.pl [--requests N] [--bytes N] [--repeats N]\n";

# passes over the bytes of a batch, at most

use constant WANTED => 3;

my @stages = qw(memcpy scan parse join split whole);
my $top = $Mark::Bench::top;

system('make', '-s', '-C', $top, 'build/bench/codec') == 0
    or die "codec did not build\n";

my (@names, %bytes, %runs);

open my $out, '-|', "$top/build/bench/codec", $requests, $bytes, $repeats
    or die "codec: $!\n";

while (my $line = <$out>) {
    chomp $line;
    my ($name, $stage, $n, $ns) = split /\t/, $line;

    push @names, $name unless $runs{$name};
    push @{$runs{$name}{$stage}}, 0 + $ns;
    $bytes{$name}{$stage} = 0 + $n;
}

close $out or die "codec failed\n";

report();


sub report {
    my @rows = ([ 'protocol', 'MB', map({ "$_, GB/s" } @stages), 'whole, us',
                  'passes' ]);
    my %out;

    for my $name (@names) {
        my $run = $runs{$name};
        my %us = map { $_ => median(@{$run->{$_}}) / 1000 } keys %$run;
        my %rate = map { $_ => $bytes{$name}{$_} / $us{$_} / 1000 } keys %us;

        # of each turn: what disturbed it disturbed both

        my $passes = $run->{scan} && median(map {
            $run->{whole}[$_] / $run->{scan}[$_]
        } 0 .. $#{$run->{whole}});

        push @rows, [ $name, sprintf('%.2f', $bytes{$name}{whole} / 1e6),
            map({ defined $rate{$_} ? sprintf '%.2f', $rate{$_} : '' }
                @stages),
            sprintf('%.0f', $us{whole}),
            $passes ? sprintf '%.2f', $passes : '' ];

        $out{$name} = { bytes => $bytes{$name}, ns => $run,
                        gb_per_s => \%rate, passes => $passes };
    }

    print "\nA batch of $requests requests, medians of $repeats turns.  join "
        . "and split: with their\nparts put into one buffer; whole: parse, "
        . "join and split; passes: its time over\nthat of one validating "
        . "scan.\n\n";
    table(@rows);

    my $floats = $out{'v1 floats'}{passes};

    printf "\n  v1 floats: %.2f passes (wanted: at most %d)\n", $floats, WANTED;

    write_json("$top/build/bench/codec.json", {
        requests => $requests, repeats => $repeats, protocols => \%out,
        passes => { measured => $floats, wanted => WANTED },
    });
}
