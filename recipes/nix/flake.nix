{
  description = "Edits the registry of Windows installations that are not running";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" "aarch64-darwin" "x86_64-darwin" ];
      each = f: nixpkgs.lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
      # The root of the repository: `nix build ./recipes/nix` works in a checkout.
      source = ../..;
    in
    {
      packages = each (pkgs: {
        default = pkgs.rustPlatform.buildRustPackage {
          pname = "hivewright";
          version = "0.2.0";
          src = source;
          cargoLock.lockFile = source + "/Cargo.lock";
          cargoBuildFlags = [ "-p" "hivewright" ];
          # They want other people's programs, and a disk: .ci/run is for that.
          doCheck = false;
          nativeBuildInputs = [ pkgs.installShellFiles ];
          postInstall = ''
            mkdir man
            $out/bin/hivewright man --output-dir man
            installManPage man/*.1
            installShellCompletion --cmd hivewright \
              --bash <($out/bin/hivewright completions bash) \
              --zsh <($out/bin/hivewright completions zsh) \
              --fish <($out/bin/hivewright completions fish)
          '';
          meta.license = pkgs.lib.licenses.gpl3Plus;
          meta.mainProgram = "hivewright";
        };
      });

      devShells = each (pkgs: {
        default = pkgs.mkShell {
          packages = [ pkgs.cargo pkgs.clippy pkgs.rustfmt pkgs.qemu-utils pkgs.hivex pkgs.ntfs3g ];
        };
      });
    };
}
