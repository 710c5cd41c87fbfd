from quire.cli.main import main

main()
