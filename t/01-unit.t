#!/usr/bin/perl

# Runs every program of t/unit, as built by make unit, as a subtest each.
# MARK_UNIT_DIR names another directory of programs, such as instrumented ones.

use warnings;
use strict;

use FindBin;
use Test::More;

use constant TIMEOUT => 300;

my $dir = $ENV{MARK_UNIT_DIR} || "$FindBin::Bin/../build/unit";
my @names = map { m!([^/]+)\.c$! } sort glob "$FindBin::Bin/unit/*.c";

# programs may look for their data relative to the top

chdir "$FindBin::Bin/.." or die "chdir: $!\n";

plan skip_all => 'no unit tests' unless @names;

for my $name (@names) {
    if (!-x "$dir/$name") {
        fail("$name is not built; make unit does it");
        next;
    }

    subtest $name => sub { run("$dir/$name") };
}

done_testing;


sub run {
    my ($program) = @_;

    local $ENV{UBSAN_OPTIONS} = 'print_stacktrace=1:halt_on_error=1';

    my $pid = open my $out, '-|';
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        # an alarm outlives exec
        alarm TIMEOUT;
        open STDERR, '>&', \*STDOUT;
        exec $program or die "$program: $!\n";
    }

    my ($planned, $seen, $failing) = (undef, 0, 0);

    while (my $line = <$out>) {
        chomp $line;

        if ($line =~ /^(not )?ok\b(?: \d+)?(?: - )?(.*)/) {
            $seen++;
            $failing = $1 ? 1 : 0;
            (my $label = $2) =~ s/^(?=\d+$)/number /;
            ok(!$failing, $label);

        } elsif ($line =~ /^1\.\.(\d+)/) {
            $planned = $1;

        } elsif ($line =~ s/^# ?// && !$failing) {
            note($line);

        } else {
            diag($line);
        }
    }

    close $out;

    is($? & 127, 0, 'no signal');
    ok(defined $planned && $planned == $seen, 'ran to the end')
        or diag('planned ', defined $planned ? $planned : 'nothing',
                ", ran $seen");
    ok(!($? >> 8) || grep({ !$_ } Test::More->builder->summary),
        'exit status') or diag('exit status ', $? >> 8);
}
