# thaw on the CPU: docker build -t thaw . && docker run --rm -v "$PWD:/work" thaw train experiment=quickstart
FROM python:3.11-slim
RUN useradd --create-home thaw
WORKDIR /home/thaw/source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
COPY conf conf
COPY zoo zoo
RUN pip install --no-cache-dir -c constraints.txt .
# What runs write lands in the folder that is mounted here.
WORKDIR /work
RUN chown thaw /work
USER thaw
ENTRYPOINT ["thaw"]
CMD ["--help"]
