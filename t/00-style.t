#!/usr/bin/perl

# The rules of style that a program can check, file by file.

use warnings;
use strict;

use File::Find;
use FindBin;
use Test::More;

chdir "$FindBin::Bin/.." or die "chdir: $!\n";

use constant { WIDTH => 80, LINES => 600 };

for my $name (files()) {
    my @found = check($name);

    ok(!@found, $name) or diag(map { "$_\n" } @found);
}

done_testing;


# what git tracks or would, or everything but build/ where there is no git

sub files {
    my @files;

    if (-e '.git' && open my $git, '-|', 'sh', '-c', 'exec git'
        . ' -c safe.directory=* ls-files -z -co --exclude-standard'
        . ' 2>/dev/null')
    {
        local $/ = "\0";
        @files = <$git>;
        chomp @files;
        close $git;
    }

    if (!@files) {
        find({ no_chdir => 1, wanted => sub {
            (my $name = $_) =~ s!^\./!!;
            $File::Find::prune = $name =~ m!^(?:\.git|build)$!;
            push @files, $name if -f $_ && !$File::Find::prune;
        } }, '.');
    }

    return sort grep { -f $_ && !-l $_ } @files;
}


# complaints about a file

sub check {
    my ($name) = @_;

    my @found;
    my $complain = sub {
        my ($line, $what) = @_;
        push @found, "$name:$line: $what" if @found < 10;
    };

    $complain->(0, 'name the thing, not "utils"') if $name =~ m!utils?\b!i;

    return @found if -B $name && -s $name
        || $name =~ m!^t/(?:fuzz/corpus|data/aws-sigv4)/!;

    open my $f, '<:raw', $name or return "$name: $!";
    my @lines = <$f>;
    close $f;

    my $c = $name =~ /\.(?:c|h|cc)$/;
    my $code = $c || $name =~ /\.(?:pl|pm|t|sh)$/
                  || $name =~ m!^(?:run|config|Dockerfile|t/lib/build-\w+)$!;
    my $text = $name =~ /\.(?:md|txt|csv|json|html|svg)$/
               || $name =~ /^(?:LICENSE|CHANGES)$/;
    my $make = $name =~ /(?:^|\/)Makefile$/;

    # in two pieces, because this file is checked as well
    my $private = qr{/hom[e]/\w|/roo[t]/\w|/wor[k]/\w};

    my $n = 0;

    for (@lines) {
        $n++;
        my $line = $_;

        $complain->($n, 'no newline at the end') unless $line =~ s/\n\z//;
        $complain->($n, 'carriage return') if $line =~ /\r/;
        $complain->($n, 'path of one machine') if $line =~ $private;
        $complain->($n, 'blanks at the end') if $line =~ /[ \t]\z/;

        if ($code || $make) {
            $complain->($n, 'more than ' . WIDTH . ' columns')
                if columns($line) > WIDTH;
        }

        if ($code) {
            $complain->($n, 'tab') if $line =~ /\t/;
        }
    }

    return @found unless $c;

    $complain->(scalar @lines, 'more than ' . LINES . ' lines')
        if @lines > LINES;
    $complain->(1, 'does not begin with a comment on its purpose')
        unless join('', @lines) =~ m!\A\s*/\*\s*(?:\n \*[ \n])?\s*[^\s*]!;

    my $pure = $name =~ m!(?:^|/)mark_[^/]*$!
               || $name =~ m!^src/(?:server|load|torch)/!;

    $n = 0;

    for (without_comments_and_strings(join '', @lines)) {
        $n++;
        $complain->($n, '// comment') if m!//!;
        $complain->($n, 'nginx header where nginx is unknown')
            if $pure && /^\s*#\s*include\s*[<"](?:ngx_|nginx)/;
    }

    return @found;
}


sub columns {
    my ($line) = @_;

    utf8::decode($line);
    1 while $line =~ s/^([^\t]*)\t/$1 . ' ' x (8 - length($1) % 8)/e;

    return length $line;
}


# the lines of a C source with nothing left of its comments and literals

sub without_comments_and_strings {
    my ($c) = @_;

    $c =~ s{
        ( /\* .*? \*/ )
        | (?<= \#include ) [ ] "([^"\n]*)"
        | " (?: [^"\\\n] | \\ . )* "
        | ' (?: [^'\\\n] | \\ . )* '
    }{
        my ($comment, $header) = ($1, $2);
        defined $header ? qq( <$header>)
            : defined $comment ? "\n" x ($comment =~ tr/\n//)
            : '""'
    }gsex;

    return split /\n/, $c;
}
