#!/usr/bin/perl

# Packs mark-lambda for AWS Lambda: package.pl BUILD [MODEL.pt ...] leaves
# BUILD/lambda/ and, of the same, BUILD/mark-lambda.zip:
#
#   bootstrap       what Lambda starts, bootstrap.c
#   lib/            mark-lambda, its libraries, glibc and its loader
#   model/          the models; without any, the digits of mark-server
#
# Debian's LibTorch is linked with OpenCV, FFmpeg and others, and thereby with
# all that these need in turn: more than half of all bytes, and too many for
# Lambda.  It uses not one of their symbols, so each is replaced by an empty
# library of its name.  If that were wrong, nothing would start: LibTorch's
# symbols are looked up at once.

use warnings;
use strict;

use File::Basename qw(basename);
use File::Copy qw(copy);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);

# unpacked, all layers together
use constant LIMIT => 250 * 1024 * 1024;

my $unused = qr/^lib(?:opencv_\w+|av(?:codec|format|util)|sw(?:resample|scale)
                 |zmq|lmdb|leveldb)\.so/x;

my ($build, @models) = @ARGV;
my $root = "$build/lambda";
my $temp = tempdir(CLEANUP => 1);

remove_tree($root);
make_path("$root/lib", "$root/model");

my ($paths, $loader) = libraries("$build/mark-lambda");
my (@kept, @empty);

closure("$build/mark-lambda");

run('strip', '-o', "$root/lib/mark-lambda", "$build/mark-lambda");
run('strip', '-o', "$root/bootstrap", "$build/mark-lambda-bootstrap");
install($_, "$root/lib/" . basename($_), 0755) for $loader;
install($paths->{$_}, "$root/lib/$_", 0644) for @kept;
run('gcc', '-shared', '-nostdlib', '-s', '-x', 'c', "-Wl,-soname,$_",
    '-o', "$root/lib/$_", '/dev/null') for @empty;

@models = train() unless @models;
install($_, "$root/model/" . basename($_), 0644) for @models;

unlink "$build/mark-lambda.zip";
run('sh', '-c', 'cd "$1" && exec zip -q -r -X ../mark-lambda.zip .', 'sh',
    $root);

report();


sub run {
    system(@_) == 0 or die "package.pl: @_: failed\n";
}


sub lines {
    open my $f, '-|', @_ or die "package.pl: $_[0]: $!\n";
    my @lines = <$f>;
    close $f or die "package.pl: @_: failed\n";

    return @lines;
}


sub install {
    my ($from, $to, $mode) = @_;

    copy($from, $to) or die "package.pl: $from: $!\n";
    chmod $mode, $to;
}


# where the loader of this machine finds each library, and the loader

sub libraries {
    my ($program) = @_;

    my ($loader, %paths);

    for (lines('ldd', $program)) {
        $paths{$1} = $2 if m!^\s*(\S+) => (/\S+)!;
        $loader = $1 if m!^\s*(/\S+/ld-linux\S+) \(!;
        die "package.pl: $_" if /not found/;
    }

    return (\%paths, $loader);
}


# fills @kept and @empty with what is needed, not looking behind the latter

sub closure {
    my @files = @_;
    my %seen = (basename($loader) => 1);

    while (my $file = shift @files) {
        for (lines('readelf', '-d', $file)) {
            my ($name) = /\(NEEDED\).*\[(.*)\]/ or next;
            next if $seen{$name}++;

            if ($name =~ $unused) {
                push @empty, $name;
                next;
            }

            push @kept, $name;
            push @files, $paths->{$name};
        }
    }
}


# the digits, as mark-server leaves them in its cache

sub train {
    my $pid = open(my $f, '-|', "$build/mark-server", '--listen',
                   '127.0.0.1:0', '--model', 'digits', '--cache', $temp)
        or die "package.pl: mark-server: $!\n";

    while (<$f>) {
        last if /listening/;
    }

    kill 'TERM', $pid;
    close $f;

    return "$temp/digits.pt";
}


sub report {
    my ($size, $zip) = (0, -s "$build/mark-lambda.zip");

    $size += -s $_ for glob("$root/bootstrap $root/*/*");

    printf "%s: %d libraries, %.1f MiB, %.1f MiB unpacked (Lambda: %d)\n",
        "$build/mark-lambda.zip", scalar @kept, $zip / 1048576,
        $size / 1048576, LIMIT / 1048576;

    warn "package.pl: larger than Lambda takes: make an image of it\n"
        if $size > LIMIT;
}
