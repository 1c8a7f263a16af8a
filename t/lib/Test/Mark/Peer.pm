package Test::Mark::Peer;

# A model server that others wrote, as t/peers/servers/serve_NAME.py starts it
# with the packages of t/peers/requirements-NAME.txt, which ./run test-peers
# installs into build/peers/NAME.
#
#   my $peer = Test::Mark::Peer->new($t, 'triton', ready => '/v2/health/ready');
#
# It listens on $t->port('triton') when new() returns, and ends with the test.
# client() runs a client that others wrote.

use warnings;
use strict;

use POSIX qw(WNOHANG);
use Time::HiRes qw(time sleep);

use Test::Mark ();

use constant { PATIENCE => 180, GRACE => 20 };

my %living;


# without TEST_MARK_PEERS the whole test is skipped: nothing is installed

sub import {
    my ($class, @names) = @_;

    Test::More::plan(skip_all => './run test-peers runs this')
        unless $ENV{TEST_MARK_PEERS};

    for (@names) {
        die "Test::Mark::Peer: $_ is not installed\n" unless -x python($_);
    }
}


sub python { "$Test::Mark::top/build/peers/$_[0]/bin/python" }


sub new {
    my ($class, $t, $name, %o) = @_;

    my $p = bless { name => $name, dir => $t->dir . "/$name", owner => $$,
                    port => $t->port($name) }, $class;
    my @ports = ($p->{port}, $t->port("${name}_other"));

    mkdir $p->{dir} or die "$p->{dir}: $!\n";

    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        # what it starts itself must end with it
        setpgrp;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$p->{dir}/log";
        open STDERR, '>&', \*STDOUT;
        chdir $p->{dir};
        exec python($name), "$Test::Mark::top/t/peers/servers/serve_$name.py",
            @ports or POSIX::_exit(127);
    }

    $p->{pid} = $pid;
    $living{$pid} = $p;
    $p->wait_ready($o{ready});

    return $p;
}


sub wait_ready {
    my ($p, $uri) = @_;

    my $ready = Test::Mark::wait_for(sub {
        return 'gone' if waitpid($p->{pid}, WNOHANG) == $p->{pid};

        my $r = Test::Mark::http_get($p->{port}, $uri, Connection => 'close');
        return $r->{status} == 200 ? 'ready' : '';
    }, PATIENCE);

    return if $ready eq 'ready';

    die "$p->{name} does not start:\n", $p->log, "\n";
}


sub log {
    my ($p) = @_;

    open my $f, '<', "$p->{dir}/log" or return '';
    local $/;

    return scalar <$f>;
}


sub stop {
    my ($p) = @_;

    my $pid = delete $p->{pid} or return;
    my $end = time + GRACE;

    delete $living{$pid};
    kill 'TERM', $pid;

    # its own children may take longer, and tidy up as well

    while (time < $end) {
        waitpid $pid, WNOHANG;
        last unless kill 0, -$pid;
        sleep 0.05;
    }

    kill 'KILL', -$pid;
    waitpid $pid, 0;
}


# Runs t/peers/clients/SCRIPT.py with the packages of a peer; each line that it
# prints is an assertion, "ok NAME" or "not ok NAME".

sub client {
    my ($name, $script, @args) = @_;

    my $pid = open my $f, '-|';
    die "cannot fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        exec python($name), "$Test::Mark::top/t/peers/clients/$script.py",
            @args or POSIX::_exit(127);
    }

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $rest = '';

    while (<$f>) {
        if (/^(not )?ok (.*)/) {
            Test::More::ok(!$1, $2);

        } else {
            $rest .= $_;
        }
    }

    local $?;
    close $f;

    Test::More::is($?, 0, "$script: exit status");
    Test::More::diag($rest) if $rest ne '';
}


END {
    my $status = $?;

    for (values %living) {
        $_->stop if $_->{owner} == $$;
    }

    $? = $status;
}


1;
