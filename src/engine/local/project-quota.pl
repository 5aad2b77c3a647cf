# Project quotas of the file system at STATOR_STORE. Node has neither the call nor the ioctl, and the programs for them are in no
# package that every Debian has. Reads `<number> <question>` lines and answers `<number> ok ...` or `<number> <why not>`:
#   make ID KIB FILES NAME   the folder NAME, and all that is made in it, counts for project ID, which may use so much
#   tidy                     forgets projects in which nothing is any more
#   used                     NAME:ID:BYTES:FILES of every folder that counts for a project
use strict;
use warnings;
use Fcntl qw(O_RDONLY O_DIRECTORY O_NOFOLLOW);

$| = 1;
my $QUOTACTL_FD = 443;            # Linux 5.14, the same number everywhere
my $PRJQUOTA = 2;
my $GETQUOTA = (0x800007 << 8) | $PRJQUOTA;
my $SETQUOTA = (0x800008 << 8) | $PRJQUOTA;
my $GETNEXTQUOTA = (0x800009 << 8) | $PRJQUOTA;
my $LIMITS = 1 | 4;               # of struct if_dqblk the limits of blocks and files are meant
my $DQBLK = 'Q8 L2';            # the last one of struct if_nextdqblk only: the id
my $FSGETXATTR = 0x801c581f;
my $FSSETXATTR = 0x401c5820;
my $FSXATTR = 'L5 x8';
my $INHERIT = 0x200;

my $root = $ENV{STATOR_STORE};
sysopen(my $store, $root, O_RDONLY | O_DIRECTORY) or die "$root: $!";

while (defined(my $line = <STDIN>)) {
    chomp $line;
    my ($number, $what, @args) = split / /, $line;
    my $answer = eval { $what eq 'make' ? make(@args) : $what eq 'tidy' ? tidy() : used() };
    print "$number ", defined $answer ? "ok $answer" : $@ =~ s/\s+/ /gr, "\n";
}

sub make {
    my ($id, $kib, $files, $name) = @_;
    limit($id, $kib, $files);     # first: nothing is ever in it without them
    my $folder = folder($name);
    my @attributes = attributes($folder);
    @attributes[0, 3] = ($attributes[0] | $INHERIT, $id);
    ioctl($folder, $FSSETXATTR, pack($FSXATTR, @attributes)) or die "set project: $!";
    return '';
}

sub limit {
    my ($id, $kib, $files) = @_;
    quota($SETQUOTA, $id, pack($DQBLK, $kib, $kib, 0, $files, $files, 0, 0, 0, $LIMITS, 0));
}

sub tidy {
    my $next = 1;
    # Its error says that there is none.
    while (my $bytes = eval { quota($GETNEXTQUOTA, $next, pack($DQBLK, (0) x 10)) }) {
        my ($hard, undef, undef, undef, undef, $count, undef, undef, undef, $id) = unpack($DQBLK, $bytes);
        limit($id, 0, 0) if $hard != 0 && $count == 0;
        $next = $id + 1;
    }
    return '';
}

sub used {
    opendir(my $names, $root) or die "$root: $!";
    my @all;
    for my $name (grep { $_ ne '.' && $_ ne '..' } readdir $names) {
        my $folder = eval { folder($name) } or next;    # it is being taken away
        my $id = (attributes($folder))[3];
        next if $id == 0;
        my (undef, undef, $bytes, undef, undef, $count) = unpack($DQBLK, quota($GETQUOTA, $id, pack($DQBLK, (0) x 10)));
        push @all, "$name:$id:$bytes:$count";
    }
    return "@all";
}

sub folder {
    my ($name) = @_;
    sysopen(my $folder, "$root/$name", O_RDONLY | O_DIRECTORY | O_NOFOLLOW) or die "$name: $!";
    return $folder;
}

# Flags, extent size, number of extents, project, copy-on-write extent size.
sub attributes {
    my ($folder) = @_;
    my $bytes = pack($FSXATTR, (0) x 5);
    ioctl($folder, $FSGETXATTR, $bytes) or die "get project: $!";
    return unpack($FSXATTR, $bytes);
}

sub quota {
    my ($command, $id, $bytes) = @_;
    syscall($QUOTACTL_FD, fileno($store), $command, $id + 0, $bytes) == 0 or die "quota of project $id: $!";
    return $bytes;
}
