# A formula. Put it into a tap; `url` and `sha256` are those of the release's source, as `git archive` makes it.
class Hivewright < Formula
  desc "Edits the registry of Windows installations that are not running"
  homepage "https://hivewright.example"
  url "https://hivewright.example/hivewright-0.2.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "GPL-3.0-or-later"

  depends_on "rust" => :build

  def install
    system "cargo", "install", "--profile", "dist", *std_cargo_args
    generate_completions_from_executable(bin/"hivewright", "completions", shells: [:bash, :zsh, :fish])
    mkdir "man"
    system bin/"hivewright", "man", "--output-dir", "man"
    man1.install Dir["man/*.1"]
    pkgshare.install "fixtures/windows/win10/SYSTEM"
  end

  test do
    system bin/"hivewright", "set", "2", pkgshare/"SYSTEM", "--output", testpath/"SYSTEM"
    assert_equal "2\n", shell_output("#{bin}/hivewright get --value #{testpath}/SYSTEM")
  end
end
