package Test::Mark::Server;

# A mark-server, and what it answers.
#
#   my $s = Test::Mark::Server->new('--model', 'echo');
#   my $body = $s->predict('echo', '{"instances": [1]}');   # 200 is wanted
#
# It ends with the test.  digits() is a body of so many rows for the model of
# that name; values_of() is JSON text without blanks and with each number in one
# way, as what has passed a parser is compared.

use warnings;
use strict;

use File::Temp ();

use Test::Mark ();

use Exporter 'import';

our @EXPORT = qw(digits values_of);

my $binary = $ENV{TEST_MARK_SERVER} || "$Test::Mark::top/build/mark-server";

my %living;


sub new {
    my ($class, @args) = @_;

    my $log = File::Temp->new;
    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>&', $log;
        open STDERR, '>&', $log;
        exec $binary, '--listen', '127.0.0.1:0', @args or POSIX::_exit(127);
    }

    my $s = bless { pid => $pid, log => $log }, $class;
    $living{$pid} = $$;

    $s->{port} = Test::Mark::wait_for(sub {
        open my $f, '<', $log->filename or return '';
        local $/;
        return <$f> =~ /listening on \S+:(\d+)\n/ ? $1 : '';
    }, 120) or die "mark-server does not start\n";

    return $s;
}


sub port { $_[0]{port} }


sub post {
    my ($s, $model, $body) = @_;

    return Test::Mark::http_post($s->{port}, "/v1/models/$model:predict",
                                 $body);
}


sub predict {
    my $r = post(@_);

    die "mark-server: status $r->{status}: $r->{body}\n"
        unless $r->{status} == 200;

    return $r->{body};
}


sub digits {
    my ($n) = @_;

    return '{"instances": [' . join(', ', map { '[' . join(',',
        map { int rand 17 } 1 .. 64) . ']' } 1 .. $n) . ']}';
}


sub values_of {
    my ($text) = @_;

    $text =~ s/\s+//g;
    $text =~ s/(-?\d[\d.eE+-]*)/sprintf '%.17g', $1/ge;

    return $text;
}


END {
    my $status = $?;

    for (keys %living) {
        kill 'TERM', $_ if $living{$_} == $$;
        waitpid $_, 0 if $living{$_} == $$;
    }

    $? = $status;
}


1;
