#!/usr/bin/perl

# Packs mark-lambda for AWS Lambda: package.pl BUILD [MODEL.pt ...] leaves
# BUILD/lambda/ and, of the same, BUILD/mark-lambda.zip:
#
#   bootstrap       what Lambda starts, bootstrap.c
#   lib/            mark-lambda, its libraries, glibc and its loader
#   model/          the models; without any, the digits of mark-server
#
# Debian's LibTorch is linked with OpenCV, FFmpeg and all that these need in
# turn, for operators of Caffe2 on pictures and films, which no TorchScript
# has.  They are more than half of all bytes, and with them the package is
# too large for Lambda, so each is replaced by a library of its name that has
# nothing but the few symbols that are linked; they end the program.

use warnings;
use strict;

use File::Basename qw(basename);
use File::Copy qw(copy);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);

# unpacked, all layers together
use constant LIMIT => 250 * 1024 * 1024;

my $unused = qr/^lib(?:opencv_\w+|av(?:codec|format|util)|sw(?:resample|scale)
                 |zmq|lmdb|leveldb|OpenCL)\.so/x;

my ($build, @models) = @ARGV;
my $root = "$build/lambda";
my $temp = tempdir(CLEANUP => 1);

remove_tree($root);
make_path("$root/lib", "$root/model");

my ($paths, $loader) = libraries("$build/mark-lambda");
my (@kept, %stubs) = ();

closure("$build/mark-lambda");

run('strip', '-o', "$root/lib/mark-lambda", "$build/mark-lambda");
run('strip', '-o', "$root/bootstrap", "$build/mark-lambda-bootstrap");
install($_, "$root/lib/" . basename($_), 0755) for $loader;
install($paths->{$_}, "$root/lib/$_", 0644) for @kept;
make_stubs();

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


# fills @kept and %stubs with what is needed, not looking behind a stub

sub closure {
    my @files = @_;
    my %seen = (basename($loader) => 1);

    while (my $file = shift @files) {
        for (lines('readelf', '-d', $file)) {
            my ($name) = /\(NEEDED\).*\[(.*)\]/ or next;
            next if $seen{$name}++;

            if ($name =~ $unused) {
                $stubs{$name} = {};
                next;
            }

            push @kept, $name;
            push @files, $paths->{$name};
        }
    }
}


# symbols of a library: name => [type, version]

sub symbols {
    my ($file, $which) = @_;

    my %symbols;

    for (lines('nm', '-D', "--$which-only", $file)) {
        next unless /(?:^|\s)(\w) ([^\s@]+)(?:\@+(\S+))?$/;
        $symbols{$2} = [$1, $3] unless $1 eq 'A';
    }

    return \%symbols;
}


sub make_stubs {
    my %wanted;

    for (@kept) {
        my $symbols = symbols($paths->{$_}, 'undefined');
        @wanted{keys %$symbols} = ();
    }

    for my $name (@kept) {
        delete @wanted{keys %{symbols($paths->{$name}, 'defined')}};
    }

    for my $name (sort keys %stubs) {
        my $symbols = symbols($paths->{$name}, 'defined');
        my %mine = map { $_ => $symbols->{$_} }
            grep { exists $wanted{$_} } keys %$symbols;

        delete @wanted{keys %mine};
        make_stub($name, \%mine);
    }
}


sub make_stub {
    my ($name, $symbols) = @_;

    my (%versions, @asm);

    for (sort keys %$symbols) {
        my ($type, $version) = @{$symbols->{$_}};
        my $code = $type =~ /[TtWi]/;

        push @{$versions{$version}}, $_ if defined $version;
        push @asm, $code ? '.text' : '.bss', ".globl $_",
            ".type $_, " . ($code ? '@function' : '@object'), "$_:",
            $code ? 'ud2' : ".skip 4096\n.size $_, 4096";
    }

    write_file("$temp/stub.s", map { "$_\n" } @asm,
        '.section .note.GNU-stack,"",@progbits');
    write_file("$temp/stub.map", map {
        ("$_ { global:", map({ " $_;" } @{$versions{$_}}), " };\n")
    } sort keys %versions);

    run('gcc', '-shared', '-nostdlib', '-s', "-Wl,-soname,$name",
        %versions ? "-Wl,--version-script,$temp/stub.map" : (),
        '-o', "$root/lib/$name", "$temp/stub.s");
}


sub write_file {
    my ($name, @text) = @_;

    open my $f, '>', $name or die "package.pl: $name: $!\n";
    print $f @text;
    close $f;
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
