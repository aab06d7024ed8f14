#include "knot/file_cache.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "knot/compress.h"

namespace knot {
namespace {

// What an entry costs beside its contents: nodes, keys and the head, rounded up.
constexpr int64_t kEntryOverhead = 1024;

int StatusOfOpenError(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
      return 404;
    case EACCES:
    case EPERM:
    case EXDEV:  // the path, or a symbolic link on it, leads out of the root
    case ELOOP:
    case ENXIO:  // a socket, or a device without a driver
    case ENODEV:
      return 403;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:  // renames elsewhere went on while a ".." was followed
      return 503;
    default:
      return 500;
  }
}

// Tells whether a file was modified before another. Tools that make a file in another coding give
// it the time of the original, some in seconds or microseconds only.
bool IsOlder(const timespec& file, timespec other) {
  if (file.tv_nsec == 0) {
    other.tv_nsec = 0;
  } else if (file.tv_nsec % 1000 == 0) {
    other.tv_nsec -= other.tv_nsec % 1000;
  }
  return file.tv_sec < other.tv_sec ||
         (file.tv_sec == other.tv_sec && file.tv_nsec < other.tv_nsec);
}

bool IsDirectoryPath(absl::string_view path) { return path.empty() || path.back() == '/'; }

}  // namespace

int OpenBeneath(int root, const char* path, bool cached) {
  open_how how{};
  // O_NONBLOCK: opening a FIFO must not wait for a writer. O_NOCTTY: nor a terminal become ours.
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (cached ? RESOLVE_CACHED : 0);
  // EAGAIN: a rename elsewhere raced with a ".." on the path and the kernel could not be sure.
  for (int attempt = 0;; ++attempt) {
    long result = syscall(SYS_openat2, root, path, &how, sizeof how);
    if (result >= 0) return static_cast<int>(result);
    if (errno != EINTR && (errno != EAGAIN || cached || attempt == 8)) return -errno;
  }
}

int FileCache::AddRoot(int root) {
  others_.push_back(std::make_unique<Tree>(root));
  return static_cast<int>(others_.size());
}

Lookup FileCache::Get(absl::string_view path, uint32_t now, const AcceptedCodings* accepted,
                      int root) {
  Tree& tree = TreeOf(root);
  FileRef old, file;
  Coding to_make = Coding::kIdentity;
  {
    std::lock_guard<Lock> lock(mutex_);
    auto found = tree.by_path.find(path);
    if (found != tree.by_path.end()) {
      Node& node = *found->second;
      node.used = true;
      if (IsValid(node, now)) {
        file = Select(node, accepted, &to_make);
        if (to_make == Coding::kIdentity) return {200, std::move(file)};
      } else {
        node.checked = now;  // this thread checks; the others serve what there is meanwhile
        old = node.file;
      }
    }
  }
  if (file != nullptr) return {200, MakeCoded(tree, path, file, to_make)};
  if (old != nullptr) checks_.fetch_add(1, std::memory_order_relaxed);
  Lookup found = old == nullptr ? LoadAlone(tree, path, now) : Load(tree, path, old, now);
  bool choose = found.status == 200 && accepted != nullptr && found.file->varies;
  return choose ? Choose(tree, path, found, *accepted) : found;
}

// Requires: mutex_ held.
FileRef FileCache::Select(Node& node, const AcceptedCodings* accepted, Coding* to_make) {
  if (accepted == nullptr || node.variants == nullptr) return node.file;
  Variants& variants = *node.variants;
  Coding best = accepted->Best(variants.available);
  if (best == Coding::kIdentity) return node.file;
  const FileRef& coded = variants.coded[static_cast<int>(best)];
  if (coded != nullptr) return coded;
  if (!variants.making.Has(best)) {
    variants.making.Add(best);
    *to_make = best;
  }
  return node.file;
}

// What Get would have found had the file been loaded before.
Lookup FileCache::Choose(const Tree& tree, absl::string_view path, const Lookup& found,
                         const AcceptedCodings& accepted) {
  FileRef file;
  Coding to_make = Coding::kIdentity;
  {
    std::lock_guard<Lock> lock(mutex_);
    auto place = tree.by_path.find(path);
    if (place == tree.by_path.end() || place->second->file != found.file) return found;
    file = Select(*place->second, &accepted, &to_make);
  }
  return {200, to_make == Coding::kIdentity ? file : MakeCoded(tree, path, file, to_make)};
}

// Returns: `plain` where compressing does not pay, or has no room.
FileRef FileCache::MakeCoded(const Tree& tree, absl::string_view path, const FileRef& plain,
                             Coding coding) {
  Allowance::Loan working(working_, CompressingBytes(static_cast<int64_t>(plain->size)));
  FileRef file = working.given() ? TryMakeCoded(*plain, coding) : nullptr;
  std::lock_guard<Lock> lock(mutex_);
  auto place = tree.by_path.find(path);
  if (place != tree.by_path.end() && place->second->file == plain && place->second->variants) {
    Variants& variants = *place->second->variants;
    variants.making.Remove(coding);
    if (file != nullptr) {
      variants.coded[static_cast<int>(coding)] = file;
    } else if (working.given()) {  // else another time
      variants.available.Remove(coding);
    }
  }
  return file != nullptr ? file : plain;
}

// Returns: null where compressing does not pay, or has no room.
FileRef FileCache::TryMakeCoded(const File& plain, Coding coding) {
  try {
    std::string contents;
    auto file = std::make_shared<File>();
    const std::string fields = FieldsOf(plain.name);
    bool made =
        Compress(coding, absl::string_view(plain.reply).substr(plain.head_size), &contents) &&
        contents.size() + contents.size() / 8 < plain.size &&
        Reserve(*file, kEntryOverhead + static_cast<int64_t>(fields.size() + contents.size()), 0);
    if (!made) return nullptr;
    file->name = plain.name;
    file->size = contents.size();
    file->modified = plain.modified;
    file->modified_seconds = plain.modified_seconds;
    file->coding = coding;
    file->varies = true;
    // Another version of the library may make other bytes of it: never strong.
    file->settled = false;
    file->WriteHead(types_.TypeOf(file->name), fields);
    file->reply += contents;
    return file;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

bool FileCache::TryGet(absl::string_view path, uint32_t now, FileRef* file) {
  // There might now be another index before the one that is kept.
  if (limits_.index.size() > 1 && IsDirectoryPath(path)) return false;
  {
    std::lock_guard<Lock> lock(mutex_);
    auto found = first_.by_path.find(path);
    if (found == first_.by_path.end()) return false;
    found->second->used = true;
    *file = found->second->file;
    if (IsValid(*found->second, now)) return true;
  }
  int descriptor = OpenBeneath(first_.root, (*file)->name.c_str(), true);
  if (descriptor < 0) return false;
  struct stat stat;
  bool same = fstat(descriptor, &stat) == 0 && (*file)->settled && (*file)->SameState(stat);
  close(descriptor);
  if (!same) return false;
  checks_.fetch_add(1, std::memory_order_relaxed);
  std::lock_guard<Lock> lock(mutex_);
  auto found = first_.by_path.find(path);
  if (found != first_.by_path.end() && found->second->file == *file) found->second->checked = now;
  return true;
}

Lookup FileCache::LoadAlone(Tree& tree, absl::string_view path, uint32_t now) {
  std::shared_ptr<Loading> loading;
  bool alone = false;
  {
    std::lock_guard<Lock> lock(mutex_);
    auto place = tree.loading.find(path);
    alone = place == tree.loading.end();
    loading = alone ? std::make_shared<Loading>() : place->second;
    if (alone) tree.loading.emplace(path, loading);
  }
  if (!alone) {
    std::unique_lock<std::mutex> lock(loading->mutex);
    loading->ended.wait(lock, [&] { return loading->over; });
    return loading->result;
  }
  Lookup result{503, nullptr};
  try {
    result = Load(tree, path, nullptr, now);
  } catch (const std::bad_alloc&) {  // the others must be told, too
  }
  {
    std::lock_guard<Lock> lock(mutex_);
    tree.loading.erase(tree.loading.find(path));
  }
  {
    std::lock_guard<std::mutex> lock(loading->mutex);
    loading->result = result;
    loading->over = true;
  }
  loading->ended.notify_all();
  return result;
}

Lookup FileCache::Load(Tree& tree, absl::string_view path, const FileRef& old, uint32_t now) {
  // A check allocates nothing: in a thread that never did before, malloc would have much to
  // prepare. But of several indexes another may be there by now.
  bool directory = IsDirectoryPath(path);
  bool known = old != nullptr && (!directory || limits_.index.size() == 1);
  std::string first;
  Opened opened = known ? Open(tree, old->name, directory) : OpenFirst(tree, path, &first);
  const std::string& name = known ? old->name : first;
  if (opened.missing && directory) opened = WithoutIndex(tree, path);
  if (opened.status != 200) {
    if (old != nullptr) Forget(tree, path, old);
    return {opened.status, nullptr, opened.directory};
  }
  Siblings siblings = OpenSiblings(tree, name, opened);
  if (old != nullptr && old->settled && old->SameState(opened.stat) &&
      SameSiblings(tree, path, old, siblings)) {
    return {200, old};
  }
  loads_.fetch_add(1, std::memory_order_relaxed);
  absl::string_view type = types_.TypeOf(name);
  auto variants = std::make_unique<Variants>();
  if (CanCompress(opened, type)) variants->available = limits_.compress;
  for (size_t i = 0; i < kCodings; ++i) {
    if (siblings.coded[i].status == 200) variants->available.Add(static_cast<Coding>(i));
  }
  bool varies = !variants->available.empty();
  FileRef file = Prepare(opened, name, type, Coding::kIdentity, varies);
  for (size_t i = 0; i < kCodings; ++i) {
    Opened& sibling = siblings.coded[i];
    if (sibling.status != 200) continue;
    variants->coded[i] = Prepare(sibling, name, type, static_cast<Coding>(i), true);
    if (variants->coded[i] == nullptr || variants->coded[i]->use == nullptr) {
      variants->coded[i] = nullptr;
      variants->available.Remove(static_cast<Coding>(i));
    }
  }
  if (file == nullptr) {
    if (old != nullptr) Forget(tree, path, old);
    return {opened.status, nullptr};
  }
  if (file->use != nullptr) {
    Keep(tree, path, file, varies ? std::move(variants) : nullptr, now);
  } else if (old != nullptr) {
    Forget(tree, path, old);
  }
  return {200, file};
}

// Opens the file that `path` names, in a directory the first index there is.
FileCache::Opened FileCache::OpenFirst(const Tree& tree, absl::string_view path,
                                       std::string* name) {
  if (!IsDirectoryPath(path)) {
    *name = std::string(path);
    return Open(tree, *name, false);
  }
  Opened opened;
  opened.missing = true;
  for (size_t i = 0; i < limits_.index.size() && opened.missing; ++i) {
    *name = absl::StrCat(path, limits_.index[i]);
    opened = Open(tree, *name, true);
  }
  return opened;
}

FileCache::Opened FileCache::Open(const Tree& tree, const std::string& name, bool index) {
  Opened opened;
  int result = OpenBeneath(tree.root, name.c_str());
  if (result == -EMFILE) {  // give up a descriptor that is only kept for speed
    {
      std::lock_guard<Lock> lock(mutex_);
      while (use_.descriptors.load() > 0 && EvictOne()) {
      }
    }
    result = OpenBeneath(tree.root, name.c_str());
  }
  if (result < 0) {
    opened.status = StatusOfOpenError(-result);
    opened.missing = result == -ENOENT;
    return opened;
  }
  opened.descriptor.Reset(result);
  opened.status = fstat(result, &opened.stat) != 0         ? 500
                  : S_ISREG(opened.stat.st_mode)           ? 200
                  : S_ISDIR(opened.stat.st_mode) && !index ? 301
                                                           : 403;
  if (opened.status != 200) opened.descriptor.Reset();
  return opened;
}

// A directory without an index is not shown here.
FileCache::Opened FileCache::WithoutIndex(const Tree& tree, absl::string_view path) {
  Opened opened;
  std::string directory = path.empty() ? "." : std::string(path);
  int descriptor = OpenBeneath(tree.root, directory.c_str());
  opened.status = descriptor >= 0 ? 403 : StatusOfOpenError(-descriptor);
  opened.directory = descriptor >= 0;
  if (descriptor >= 0) close(descriptor);
  return opened;
}

// Opens what is beside a file in other codings. One that is older than the file was forgotten when
// the file was changed.
FileCache::Siblings FileCache::OpenSiblings(const Tree& tree, const std::string& name,
                                            const Opened& opened) const {
  Siblings siblings;
  for (size_t i = 0; i < kCodings; ++i) {
    auto coding = static_cast<Coding>(i);
    if (!limits_.precompressed.Has(coding)) continue;
    Opened& sibling = siblings.coded[i];
    int descriptor = OpenBeneath(tree.root, absl::StrCat(name, CodingSuffix(coding)).c_str());
    if (descriptor < 0) continue;
    sibling.descriptor.Reset(descriptor);
    bool good = fstat(descriptor, &sibling.stat) == 0 && S_ISREG(sibling.stat.st_mode) &&
                !IsOlder(sibling.stat.st_mtim, opened.stat.st_mtim);
    if (good) {
      sibling.status = 200;
    } else {
      sibling.descriptor.Reset();
    }
  }
  return siblings;
}

// Tells whether the other codings of `file` are still the same.
bool FileCache::SameSiblings(const Tree& tree, absl::string_view path, const FileRef& file,
                             const Siblings& siblings) {
  if (limits_.precompressed.empty()) return true;
  FileRef coded[kCodings];
  {
    std::lock_guard<Lock> lock(mutex_);
    auto found = tree.by_path.find(path);
    if (found == tree.by_path.end() || found->second->file != file) return false;
    const Variants* variants = found->second->variants.get();
    for (size_t i = 0; i < kCodings && variants != nullptr; ++i) coded[i] = variants->coded[i];
  }
  for (size_t i = 0; i < kCodings; ++i) {
    if (!limits_.precompressed.Has(static_cast<Coding>(i))) continue;
    bool is = siblings.coded[i].status == 200;
    // One made here has no file: its inode is 0.
    bool was = coded[i] != nullptr && coded[i]->inode != 0;
    if (is != was || (is && !(coded[i]->settled && coded[i]->SameState(siblings.coded[i].stat)))) {
      return false;
    }
  }
  return true;
}

bool FileCache::CanCompress(const Opened& opened, absl::string_view type) const {
  constexpr uint64_t kLeast = 256;  // below, the head outweighs what could be saved
  uint64_t size = opened.stat.st_size;
  return !limits_.compress.empty() && size >= kLeast && size <= limits_.in_memory &&
         IsCompressible(type);
}

// Takes opened.descriptor. Returns: null where the file could not be read, and opened.status
// says why.
std::shared_ptr<File> FileCache::Prepare(Opened& opened, std::string name, absl::string_view type,
                                         Coding coding, bool varies) {
  auto file = std::make_shared<File>();
  file->name = std::move(name);
  file->coding = coding;
  file->varies = varies;
  file->size = opened.stat.st_size;
  file->device = opened.stat.st_dev;
  file->inode = opened.stat.st_ino;
  file->modified = opened.stat.st_mtim;
  file->changed = opened.stat.st_ctim;
  // Two changes within one tick of the file system's clock carry the same time, so a file that
  // changed just now is loaded again at the next check.
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  file->settled = now.tv_sec - file->changed.tv_sec >= 2;

  // RFC 9110, 8.8.2.1: never later than the reply.
  file->modified_seconds = std::min<int64_t>(file->modified.tv_sec, now.tv_sec);
  const std::string fields = FieldsOf(file->name);
  file->WriteHead(type, fields);

  const int64_t overhead = kEntryOverhead + static_cast<int64_t>(fields.size());
  bool in_memory = file->size <= limits_.in_memory &&
                   Reserve(*file, overhead + static_cast<int64_t>(file->size), 0);
  if (in_memory) {
    opened.status = ReadContents(*file, opened.descriptor.get());
    opened.descriptor.Reset();
    return opened.status == 200 ? file : nullptr;
  }
  Reserve(*file, overhead, 1);
  file->descriptor = opened.descriptor.Release();
  return file;
}

std::string FileCache::FieldsOf(const std::string& name) const {
  return limits_.headers == nullptr ? std::string() : limits_.headers->FieldsOf(name);
}

// Returns: 200, 500 the file could not be read, 503 there is no memory for it.
int FileCache::ReadContents(File& file, int descriptor) {
  try {
    file.reply.resize(file.head_size + file.size);
  } catch (const std::bad_alloc&) {  // one large file must not end the server
    return 503;
  }
  size_t done = 0;
  while (done < file.size) {
    ssize_t n = pread(descriptor, &file.reply[file.head_size + done], file.size - done,
                      static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return 500;  // it shrank since it was opened, or cannot be read
    done += n;
  }
  return 200;
}

// Makes room for `file` and accounts it there, or leaves it unaccounted where there is none (F2).
bool FileCache::Reserve(File& file, int64_t bytes, int64_t descriptors) {
  std::lock_guard<Lock> lock(mutex_);
  if (bytes > limits_.bytes || descriptors > limits_.descriptors) return false;
  while (use_.bytes.load() + bytes > limits_.bytes ||
         use_.descriptors.load() + descriptors > limits_.descriptors) {
    if (!EvictOne()) return false;
  }
  use_.bytes.fetch_add(bytes);
  use_.descriptors.fetch_add(descriptors);
  file.use = &use_;
  file.charge = bytes;
  return true;
}

// Drops the first file, in the order of the clock, that was not used since the hand passed and is
// not being sent. Returns: false where all are being sent. Requires: mutex_ held.
bool FileCache::EvictOne() {
  for (size_t steps = 2 * nodes_.size(); steps > 0; --steps) {
    Node& node = nodes_.front();
    // Only the map hands out references, under mutex_, so a count of one stays one.
    if (!node.used && node.file.use_count() == 1) {
      node.tree->by_path.erase(node.path);
      nodes_.pop_front();
      return true;
    }
    node.used = false;
    nodes_.splice(nodes_.end(), nodes_, nodes_.begin());
  }
  return false;
}

void FileCache::Keep(Tree& tree, absl::string_view path, const FileRef& file,
                     std::unique_ptr<Variants> variants, uint32_t now) {
  FileRef replaced;  // dies after the lock, as `variants` does, which then has the old ones
  std::lock_guard<Lock> lock(mutex_);
  auto found = tree.by_path.find(path);
  if (found != tree.by_path.end()) {
    replaced = std::exchange(found->second->file, file);
    std::swap(found->second->variants, variants);
    found->second->checked = now;
    return;
  }
  nodes_.push_back({&tree, std::string(path), file, now, false, std::move(variants)});
  tree.by_path.emplace(nodes_.back().path, std::prev(nodes_.end()));
}

// Drops `path` unless another thread has replaced `file` by now.
void FileCache::Forget(Tree& tree, absl::string_view path, const FileRef& file) {
  std::lock_guard<Lock> lock(mutex_);
  auto found = tree.by_path.find(path);
  if (found == tree.by_path.end() || found->second->file != file) return;
  Nodes::iterator node = found->second;
  tree.by_path.erase(found);
  nodes_.erase(node);
}

void FileCache::Clear() {
  Nodes forgotten;  // dies after the lock
  std::lock_guard<Lock> lock(mutex_);
  first_.by_path.clear();
  for (const auto& tree : others_) tree->by_path.clear();
  forgotten.swap(nodes_);
}

FileCache::Counts FileCache::GetCounts() const {
  Counts counts;
  counts.loads = loads_.load();
  counts.checks = checks_.load();
  counts.bytes = use_.bytes.load();
  counts.descriptors = use_.descriptors.load();
  std::lock_guard<Lock> lock(mutex_);
  counts.entries = nodes_.size();
  return counts;
}

}  // namespace knot
