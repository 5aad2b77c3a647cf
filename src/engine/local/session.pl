# Runs the runtime's `exec` and carries what its process reads and writes, in frames (session-frames.ts): Node has neither
# terminals nor pipes that are no sockets. Its own end is the end of the session: when standard input ends, whoever held it is gone,
# and the process is hung up. What it is told comes in the environment, the runtime's command line as arguments.
use strict;
use warnings;
use Fcntl;
use Socket;

use constant { INPUT => 0, RESIZE => 1, END_OF_INPUT => 2, SIGNAL => 4 };
use constant { STDOUT_BYTES => 0, EXIT => 3, STDERR_BYTES => 5, CREDIT => 6 };
use constant { INPUT_MAX => 262_144, FRAME_MAX => 65_536, OUTPUT_HELD_MAX => 65_536, CREDIT_STEP => 32_768 };
use constant { QUIET_S => 0.5, GRACE_S => 5 };
use constant { TIOCSWINSZ => 0x5414, TIOCGPGRP => 0x540f, TIOCGPTN => 0x80045430, TIOCSPTLCK => 0x40045431 };
use constant { PIDFD_OPEN => 434, CLOEXEC_FDS => 0x40000000, WNOHANG => 1 };

my ($console, $pid_file, $inner_file, $recvmsg, $setsid, $size) =
    delete @ENV{map { "STATOR_$_" } qw(CONSOLE PID_FILE INNER_PID_FILE RECVMSG SETSID WINDOW)};
my @signals = qw(HUP INT QUIT KILL TERM USR1 USR2);
$SIG{PIPE} = 'IGNORE';

my ($listener, $master);       # with a terminal
my ($to, %from);               # the process's input; its outputs with the type of their frames
my ($frames, $input, $output, $credit, $is_input_over) = ('', '', '', 0, 0);
my ($window, $is_hung_up, $status, $is_told, $deadline);
my $is_own = $console eq 'own'; # where the runtime makes no terminal, ours
my $runtime = $is_own ? start_with_own_terminal() : $console eq '' ? start_with_pipes() : start_with_terminal();
my $ended = fd(syscall(PIDFD_OPEN, $runtime, 0));
unblock(*STDIN, *STDOUT);
step() until $is_told && $output eq '';
unlink $console if $console ne '' && !$is_own;

# One round: waits until something can be carried, and carries it.
sub step {
    my ($reads, $writes) = ('', '');
    my $see = sub { vec($_[0], fileno($_[1]), 1) = 1 if defined $_[1] };
    $see->($reads, *STDIN) unless $is_hung_up;
    $see->($reads, $ended) unless defined $status;
    $see->($reads, $listener);
    if (length $output < OUTPUT_HELD_MAX) { $see->($reads, $_->[0]) for values %from }
    $see->($writes, *STDOUT) if $output ne '';
    $see->($writes, $to) if $input ne '';
    my $left = defined $deadline ? $deadline - now() : undef;
    my $count = select($reads, $writes, undef, defined $left && $left < 0 ? 0 : $left);
    my $can = sub { defined $_[1] && $count > 0 && vec($_[0], fileno($_[1]), 1) };
    read_frames() if !$is_hung_up && $can->($reads, *STDIN);
    take_terminal() if $can->($reads, $listener);
    read_output($_) for grep { $can->($reads, $from{$_}[0]) } keys %from;
    write_input() if $input ne '' && $can->($writes, $to);
    write_output() if $can->($writes, *STDOUT);
    note_end() if !defined $status && $can->($reads, $ended);
    late() if defined $deadline && now() >= $deadline;
    tell_end() if defined $status && !%from && !$is_told;
}

sub start_with_pipes {
    pipe(my $theirs_in, $to) && pipe(my $out, my $theirs_out) && pipe(my $err, my $theirs_err) or die "pipe: $!";
    my $pid = start($theirs_in, $theirs_out, $theirs_err);
    unblock($to, $out, $err);
    %from = (out => [$out, STDOUT_BYTES], err => [$err, STDERR_BYTES]);
    return $pid;
}

# The runtime makes the terminal inside the dyno and sends its other side here.
sub start_with_terminal {
    unlink $console;
    socket($listener, AF_UNIX, SOCK_STREAM, 0) && bind($listener, sockaddr_un($console)) && listen($listener, 1)
        or die "listen: $!";
    open(my $null, '+<', '/dev/null') or die "null: $!";
    pipe(my $err, my $theirs_err) or die "pipe: $!";
    my $pid = start($null, $null, $theirs_err);
    unblock($err);
    %from = (err => [$err, STDOUT_BYTES]); # the runtime's own words, where it fails
    return $pid;
}

# One of the host's, which the runtime passes on to the dyno's own kernel; it hears of a new size by a signal.
sub start_with_own_terminal {
    open($master, '+<', '/dev/ptmx') or die "ptmx: $!";
    my ($number, $unlock) = (pack('l', 0), pack('l', 0));
    ioctl($master, TIOCGPTN, $number) && ioctl($master, TIOCSPTLCK, $unlock) or die "pty: $!";
    $to = $master;
    my $pid = fork() // die "fork: $!";
    if (!$pid) {
        syscall($setsid + 0);
        open(my $terminal, '+<', '/dev/pts/' . unpack('l', $number)) or exit 126; # its own from here on
        ioctl($terminal, TIOCSWINSZ, pack('S4', split(/x/, $size), 0, 0));
        begin($terminal, $terminal, $terminal);
    }
    unblock($master);
    %from = (out => [$master, STDOUT_BYTES]);
    return $pid;
}

sub start {
    my ($in, $out, $err) = @_;
    my $pid = fork() // die "fork: $!";
    return $pid if $pid;
    setpgrp(0, 0);
    begin($in, $out, $err);
}

sub begin {
    my ($in, $out, $err, @command) = @_;
    @command = @ARGV unless @command;
    open(STDIN, '<&', $in) && open(STDOUT, '>&', $out) && open(STDERR, '>&', $err) or exit 126;
    $SIG{PIPE} = 'DEFAULT';
    exec { $command[0] } @command or exit 127;
}

sub take_terminal {
    accept(my $connection, $listener) or return;
    my ($data, $control) = ("\0" x 256, "\0" x 64);
    substr($_, 0, 1) = "\0" for $data, $control; # strings of their own, which the kernel may write to
    my $vector = pack('PQ', $data, 256);
    my $header = pack('QLx4PQPQlx4', 0, 0, $vector, 1, $control, 64, 0);
    return if syscall($recvmsg + 0, fileno($connection), $header, CLOEXEC_FDS) < 0;
    my (undef, $level, $type, $number) = unpack('Qlll', $control);
    return unless $level == SOL_SOCKET && $type == 1; # SCM_RIGHTS
    close $listener;
    undef $listener;
    unlink $console;
    $master = $to = fd($number);
    unblock($master);
    ioctl($master, TIOCSWINSZ, $window) if defined $window;
    hang_up() if $is_hung_up;
    $from{out} = [$master, STDOUT_BYTES] unless $is_hung_up;
}

sub read_frames {
    my $count = sysread(STDIN, $frames, FRAME_MAX + 5, length $frames);
    return if !defined $count && ($!{EAGAIN} || $!{EINTR});
    return hang_up() unless $count;
    while (length $frames >= 5) {
        my ($type, $size) = unpack('CN', $frames);
        return hang_up() if $size > FRAME_MAX;
        return if length $frames < 5 + $size;
        my $body = substr($frames, 5, $size);
        substr($frames, 0, 5 + $size) = '';
        take($type, $body);
    }
}

sub take {
    my ($type, $body) = @_;
    if ($type == INPUT) {
        return if $is_input_over;
        return hang_up() if length($input) + length($body) > INPUT_MAX; # more than it was given credit for
        $input .= $body;
        write_input() if defined $to;
    } elsif ($type == END_OF_INPUT) {
        $is_input_over = 1;
        close_input() if $input eq '';
    } elsif ($type == RESIZE && length $body == 4) {
        $window = pack('S4', unpack('n2', $body), 0, 0);
        ioctl($master, TIOCSWINSZ, $window) if defined $master;
    } elsif ($type == SIGNAL && grep { $_ eq $body } @signals) {
        signal_foreground($body);
    }
}

sub write_input {
    my $count = syswrite($to, $input, FRAME_MAX);
    if (!defined $count) {
        return if $!{EAGAIN} || $!{EINTR};
        $count = length $input; # it reads no more: what it was sent goes nowhere
        $is_input_over = 1;
    }
    substr($input, 0, $count) = '';
    $credit += $count;
    if ($credit >= CREDIT_STEP || $input eq '') {
        frame(CREDIT, pack('N', $credit));
        $credit = 0;
    }
    close_input() if $is_input_over && $input eq '';
}

# A terminal stays: what types its end of input has typed it.
sub close_input {
    return if !defined $to || defined $master || $console ne '';
    close $to;
    undef $to;
}

sub read_output {
    my ($name) = @_;
    my ($from, $type) = @{$from{$name}};
    my $count = sysread($from, my $bytes, FRAME_MAX / 2);
    return if !defined $count && ($!{EAGAIN} || $!{EINTR});
    return delete $from{$name} unless $count; # EIO of a terminal too: nobody has it any more
    frame($type, $bytes) unless $is_hung_up;
    $deadline = now() + QUIET_S if defined $status;
}

sub frame { $output .= pack('CN', $_[0], length $_[1]) . $_[1] }

sub write_output {
    my $count = syswrite(STDOUT, $output);
    return if !defined $count && ($!{EAGAIN} || $!{EINTR});
    return hang_up() unless defined $count;
    substr($output, 0, $count) = '';
}

# What it left running may hold its outputs open: they are read until they are silent.
sub note_end {
    return unless waitpid($runtime, WNOHANG) == $runtime;
    $status = $? & 127 ? 128 + ($? & 127) : $? >> 8;
    close $listener if defined $listener;
    undef $listener;
    undef $ended;
    %from = () if $is_hung_up;
    $deadline = now() + QUIET_S;
}

sub tell_end {
    $is_told = 1;
    undef $deadline;
    frame(EXIT, pack('C', $status)) unless $is_hung_up;
}

sub late {
    undef $deadline;
    return kill_session('KILL') unless defined $status;
    %from = ();
}

sub hang_up {
    my $was_hung_up = $is_hung_up;
    $is_hung_up = 1;
    ($output, $input) = ('', '');
    %from = ();
    undef $to;
    if (defined $master) { close $master; undef $master } # the kernel hangs up whoever has the terminal
    kill_session('HUP');
    $deadline = now() + GRACE_S unless $was_hung_up || defined $status;
}

# The process that the runtime waits for, whose number is not given away then; undef: it has ended, or not begun.
sub process {
    open(my $file, '<', $pid_file) or return;
    my ($pid) = (<$file> // '') =~ /^(\d+)/ or return;
    my ($parent) = facts($pid);
    return defined $parent && $parent == $runtime ? $pid : undef;
}

# Parent, group and session of a process; its name may hold anything.
sub facts {
    open(my $file, '<', "/proc/$_[0]/stat") or return;
    return (<$file> // '') =~ /.*\) \S+ (\d+) (\d+) (\d+) /s;
}

sub signal_foreground {
    my ($name) = @_;
    return kill_inside($name, 'group') if $inner_file ne '';
    my $pid = process() // return;
    my $answer = pack('l', 0);
    my $is_told = defined $master && ioctl($master, TIOCGPGRP, $answer) && unpack('l', $answer) > 1;
    kill_all($name, 1, $is_told ? unpack('l', $answer) : (facts($pid))[1]);
}

# All of its session, which the runtime made. Where that has not begun, the runtime.
sub kill_session {
    my ($name) = @_;
    kill_inside($name, 'session') if $inner_file ne '';
    my $pid = process();
    my $session = defined $pid ? (facts($pid))[2] : undef;
    return kill_all($name, 2, $session) if defined $session && $session > 0 && $session != (facts($$))[2];
    kill('KILL', -$runtime) if $name eq 'KILL' && !defined $status;
}

# Every process of which this fact is so, but for the runtime, which tells how it ended.
sub kill_all {
    my ($name, $fact, $number) = @_;
    opendir(my $proc, '/proc') or return;
    for my $each (grep { /^\d+$/ && $_ != $runtime } readdir $proc) {
        my $its = (facts($each))[$fact];
        kill($name, $each) if defined $its && $its == $number;
    }
}

# On a kernel of its own the dyno's processes are that kernel's to find: by a program in the dyno, of its own user.
sub kill_inside {
    my ($name, $which) = @_;
    open(my $file, '<', $inner_file) or return; # it has not begun
    my ($pid) = (<$file> // '') =~ /^(\d+)/ or return;
    my ($exec) = grep { $ARGV[$_] eq 'exec' } 0 .. $#ARGV;
    my @perl = ('/usr/bin/perl', '-e', <<'INSIDE', $name, $pid, $which eq 'session' ? 2 : 1);
        my ($name, $pid, $fact) = @ARGV;
        sub facts { open(my $file, '<', "/proc/$_[0]/stat") or return; <$file> =~ /.*\) \S+ (\d+) (\d+) (\d+) /s }
        my $wanted = (facts($pid))[$fact] or exit;
        opendir(my $proc, '/proc');
        kill($name, $_) for grep { /^\d+$/ && ((facts($_))[$fact] // 0) == $wanted } readdir $proc;
INSIDE
    my $child = fork() // return;
    return if $child;
    open(my $null, '+<', '/dev/null') or exit 126;
    my @bare = map { ('--env', "$_=") } qw(PERL5OPT PERL5LIB); # else the dyno's own
    begin($null, $null, $null, @ARGV[0 .. $exec], @bare, '--user', '1000:1000', $ARGV[-1], @perl);
}

sub fd {
    my ($number) = @_;
    die "descriptor: $!" if $number < 0;
    open(my $handle, '+<&=', $number) or die "descriptor: $!";
    return $handle;
}

sub unblock { fcntl($_, F_SETFL, fcntl($_, F_GETFL, 0) | O_NONBLOCK) for @_ }

sub now {
    open(my $file, '<', '/proc/uptime') or return time;
    return (split ' ', <$file>)[0];
}
