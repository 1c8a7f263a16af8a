#!/usr/bin/perl

# The signer agrees with botocore, AWS's own, on random requests: odd paths,
# queries and headers, with and without a session token, for Lambda and for
# S3, whose paths are signed in another way.  TEST_MARK_SEED repeats a run.

use warnings;
use strict;

use FindBin;
use IPC::Open2;
use POSIX ();
use Test::More;

use constant { REQUESTS => 1000, SHOWN => 5 };

my @parts = ('canonical request', 'string to sign', 'Authorization',
             'X-Amz-Date', 'X-Amz-Security-Token', 'X-Amz-Content-SHA256');

my $dir = $ENV{MARK_UNIT_DIR} || "$FindBin::Bin/../build/unit";
my $signer = "$dir/../lib/signer";
my $python = $ENV{TEST_PYTHON} || '/usr/bin/python3';
my $seed = $ENV{TEST_MARK_SEED} || 1 + int rand 1e9;

plan skip_all => "$signer is not built; make unit does it" unless -x $signer;
plan skip_all => "no botocore for $python"
    if system "$python -c 'import botocore.auth' 2>/dev/null";

note("TEST_MARK_SEED=$seed");

my (@requests, @expected, $shown);

open my $botocore, '-|', $python, "$FindBin::Bin/lib/botocore-signer", $seed,
    REQUESTS or die "$python: $!\n";

while (my $line = <$botocore>) {
    push @{$. % 2 ? \@requests : \@expected}, $line;
}

ok(close $botocore, 'botocore signs') or diag("status $?");
is(scalar @expected, REQUESTS, 'all requests');

my @signed = answers(@requests);
is(scalar @signed, @requests, 'all are answered');

my $different = grep { differs($_) } 0 .. $#expected;
is($different, 0, 'as botocore signs them')
    or diag("TEST_MARK_SEED=$seed repeats it");

# what agrees on nothing would agree on everything

cmp_ok(scalar(grep { (split /\t/)[4] ne '' } @expected), '>', REQUESTS / 4,
    'some have a token');
cmp_ok(scalar(grep { (split /\t/)[5] ne "\n" } @expected), '>', REQUESTS / 4,
    'some are for S3');

my %seen = map { $_ => 1 } @expected;
cmp_ok(scalar keys %seen, '>', REQUESTS * .9, 'they are not one');

done_testing;


# all of them by one process: the key is a cached one

sub answers {
    my $pid = open2(my $out, my $in, $signer);

    # a pipe holds less than all

    my $writer = fork;
    die "cannot fork: $!\n" unless defined $writer;

    if ($writer == 0) {
        print $in @_;
        close $in;
        POSIX::_exit(0);
    }

    close $in;
    my @lines = <$out>;

    waitpid $writer, 0;
    waitpid $pid, 0;
    is($?, 0, 'the signer is fine');

    return @lines;
}


# shows the first few that do

sub differs {
    my ($n) = @_;

    my $answer = $signed[$n] // '';
    return 0 if $answer eq $expected[$n];

    if ($shown++ < SHOWN) {
        my @got = unpacked($answer);
        my @want = unpacked($expected[$n]);
        my @request = unpacked($requests[$n]);

        diag("request $n: $request[7] $request[8]?$request[9]");

        for my $i (0 .. $#parts) {
            next if ($got[$i] // '') eq ($want[$i] // '');
            diag("$parts[$i]:\n", $got[$i] // '',
                "\nthat of botocore:\n", $want[$i] // '');
        }
    }

    return 1;
}


# an error is there as it is

sub unpacked {
    my ($line) = @_;

    chomp $line;
    return $line if $line =~ /[^0-9a-f\t]/;
    return map { pack 'H*', $_ } split /\t/, $line, -1;
}
