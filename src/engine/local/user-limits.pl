# Lowers limits that the kernel keeps for each user namespace: it reads `<number> <id of a process>` lines, enters that process's
# user namespace in a child (a program cannot come back from one) and writes the limits there. Answers `<number> ok` or
# `<number> <why not>`. `trial` stands for a process in a new namespace. Limits and system call numbers come in the environment, so that the
# argument vector is constant. The child is there before the line, which it reads by itself: nobody waits for a fork.
use strict;
use warnings;

$| = 1;
my $CLONE_NEWUSER = 0x10000000;
my $END = 3;

while (1) {
    pipe(my $told, my $tell) or die "pipe: $!";
    my $child = fork() // die "fork: $!";
    if ($child == 0) {
        my $line = one_line() // exit $END;
        my ($number, $id) = split / /, $line;
        syswrite($tell, $number);
        my $why = eval { lower($id); 1 } ? 'ok' : $@ =~ s/\s+/ /gr;
        print "$number $why\n";
        exit 0;
    }
    close($tell);
    waitpid($child, 0);
    last if $? == $END << 8;
    next if $? == 0;
    sysread($told, my $number, 32) or next;
    print "$number ended with status $?\n";
}

# No more than one line is taken from what waits to be read: the next child reads the next.
sub one_line {
    my $line = '';
    while (sysread(STDIN, my $byte, 1)) {
        return $line if $byte eq "\n";
        $line .= $byte;
    }
    return undef;
}

sub lower {
    my ($id) = @_;
    if ($id eq 'trial') {
        syscall($ENV{STATOR_UNSHARE} + 0, $CLONE_NEWUSER) == 0 or die "unshare: $!";
    } else {
        open(my $theirs, '<', '/proc/' . ($id + 0) . '/ns/user') or die "open: $!";
        # A sandbox without a user namespace of its own: what would be lowered is the machine's.
        my ($own, $other) = ((stat '/proc/self/ns/user')[1], (stat $theirs)[1]);
        return if $own == $other;
        syscall($ENV{STATOR_SETNS} + 0, fileno($theirs), $CLONE_NEWUSER) == 0 or die "setns: $!";
    }
    for (split / /, $ENV{STATOR_LIMITS}) {
        my ($name, $value) = split /=/;
        open(my $file, '>', "/proc/sys/user/$name") or die "$name: $!";
        print $file $value;
        close($file) or die "$name: $!";
    }
}
