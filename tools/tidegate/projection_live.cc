#include "tools/tidegate/projection_live.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "eventstore/types.h"
#include "tools/tidegate/projection_state.h"

namespace tidegate {
namespace {

constexpr std::chrono::milliseconds kRedrawRows{200};
// A signal of the terminal would need a handler; a glance a second is as good for the eye.
constexpr std::chrono::seconds kSizeLook{1};

}  // namespace

std::string live_frame(const std::vector<v1::ProjectionRow>& rows, const RowView& view,
                       const std::string& title, std::size_t columns, std::size_t lines) {
  std::string frame;
  std::size_t above = 0;
  for (std::size_t begin = 0; begin <= title.size(); ++above) {
    const std::size_t end = std::min(title.find('\n', begin), title.size());
    frame += cut_to_columns(std::string_view(title).substr(begin, end - begin), columns) + "\n";
    begin = end + 1;
  }
  const RowTable table = row_table(rows, view, columns);
  const std::string text = table_text(table.header, table.rows);
  // The title, the names, and the last line, in which the cursor stands.
  const std::size_t room = lines > above + 3 ? lines - above - 2 : 1;
  std::size_t shown = 0;
  std::size_t begin = 0;
  // The names are a line of the table, too; one line is kept for how many are left out.
  const std::size_t most = table.rows.size() > room ? room : table.rows.size() + 1;
  for (; shown < most && begin < text.size(); ++shown) {
    const std::size_t end = text.find('\n', begin);
    frame += cut_to_columns(std::string_view(text).substr(begin, end - begin), columns) + "\n";
    begin = end + 1;
  }
  if (shown < table.rows.size() + 1)
    frame += fmt::format("... and {} more\n", table.rows.size() + 1 - shown);
  return frame;
}

LiveTable::LiveTable(Output& output, std::string name, RowView view)
    : output_(output), name_(std::move(name)), view_(std::move(view)) {
  output_.write("\x1b[2J");
  thread_ = std::thread([this] { run(); });
}

LiveTable::~LiveTable() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void LiveTable::update(const v1::WatchProjectionResponse& told) {
  const std::lock_guard lock(mutex_);
  apply_changes(rows_, told);
  is_consistent_ = told.has_place();
  if (is_consistent_) place_ = told.place();
  note_.clear();
  is_dirty_ = true;
  changed_.notify_all();
}

void LiveTable::note(const std::string& text) {
  const std::lock_guard lock(mutex_);
  append_for_terminal(note_, text);
  is_dirty_ = true;
  changed_.notify_all();
}

void LiveTable::set_trouble(const std::string& text) {
  const std::lock_guard lock(mutex_);
  trouble_.clear();
  append_for_terminal(trouble_, text);
  is_dirty_ = true;
  changed_.notify_all();
}

void LiveTable::wait_for_change(std::unique_lock<std::mutex>& lock) {
  while (!is_stopping_ && !(is_dirty_ && is_consistent_)) {
    changed_.wait_for(lock, kSizeLook);
    if (columns_ != 0 && (output_.columns() != columns_ || output_.lines() != lines_))
      is_dirty_ = true;
  }
}

std::string LiveTable::title() const {
  const Result<Position> position = Position::parse(place_.position());
  std::string title = fmt::format("{} version {}, as of sequence {}, {}", name_, place_.version(),
                                  position ? position->sequence : 0, counted(rows_.size(), "row"));
  if (!note_.empty()) title += "  (" + note_ + ")";
  if (!trouble_.empty()) title += "\n" + trouble_;
  return title;
}

void LiveTable::run() {
  std::unique_lock lock(mutex_);
  while (!is_stopping_) {
    wait_for_change(lock);
    if (!is_dirty_ || !is_consistent_) return;
    is_dirty_ = false;
    std::string above = title();
    const std::vector<v1::ProjectionRow> rows = values_of(rows_);
    lock.unlock();
    if (Status known = check_fields(rows, view_); !known)
      append_for_terminal(above += "\n", known.error().message);
    draw(rows, above);
    lock.lock();
    changed_.wait_for(lock, kRedrawRows, [this] { return is_stopping_; });
  }
}

// Line by line over what is there, so that nothing flickers.
void LiveTable::draw(const std::vector<v1::ProjectionRow>& rows, const std::string& title) {
  columns_ = output_.columns();
  lines_ = output_.lines();
  const std::string frame = live_frame(rows, view_, title, columns_, lines_);
  std::string& out = output_.buffer();
  out += "\x1b[H";
  for (std::size_t begin = 0; begin < frame.size();) {
    const std::size_t end = frame.find('\n', begin);
    out.append(frame, begin, end - begin);
    out += "\x1b[K\r\n";
    begin = end + 1;
  }
  out += "\x1b[J";
  // A terminal that has gone ends the program by a signal of its own.
  static_cast<void>(output_.flush());
}

}  // namespace tidegate
